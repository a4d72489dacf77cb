"""A DriftPolicy's reconcile: read once, decide once, act, write the status once."""

import asyncio
import logging
from datetime import datetime, timedelta

from tidegate.api.meta import ObjectKey
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.clients.resources import CONFIG_MAPS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.drift_policy.desired import hours_config, look_job, training_job
from tidegate.controllers.drift_policy.jobs import with_jobs
from tidegate.controllers.drift_policy.observe import observe
from tidegate.controllers.drift_policy.plan import Plan, not_begun, not_kept, plan, refused
from tidegate.controllers.drift_policy.state import hours_name
from tidegate.controllers.drift_policy.status import status
from tidegate.errors import TerminalError
from tidegate.rollout.drift import SEVERITY

logger = logging.getLogger(__name__)


async def reconcile(key: ObjectKey, cluster: Cluster, now: datetime) -> timedelta | None:
    """Assess the watched Models and do what the policy says; when to look again."""
    policy = cluster.drift_policy(key)
    if policy is None or policy.metadata.deletion_timestamp is not None:
        return None
    seen = await with_jobs(observe(policy, cluster), cluster)
    # In a thread: a wide Model takes seconds, and the event loop renews the lease meanwhile.
    step = await _start(await asyncio.to_thread(plan, seen, now), policy, cluster)
    step = await _keep(await _look(step, policy, cluster), cluster)
    await _tell(key, step, cluster)
    await cluster.apply_status(key, status(seen, step, now))
    return step.requeue_after if seen.watched else None


async def _start(step: Plan, policy: DriftPolicy, cluster: Cluster) -> Plan:
    """Create the runs; what came of the plan."""
    for run in step.runs:
        meta = run.model.metadata
        try:
            created = await cluster.create(training_job(policy, run))
        except TerminalError as error:  # the other Models must not wait for this one's template
            step = refused(step, run, str(error))
            continue
        if created is not None:
            cluster.metrics.retrains.labels(meta.namespace, meta.name).inc()
    return step


async def _look(step: Plan, policy: DriftPolicy, cluster: Cluster) -> Plan:
    """Create the Jobs that look; what came of the plan."""
    settings = cluster.settings
    for look in step.looks:
        job = look_job(policy, look, settings.runtime_image, settings.image_pull_policy)
        try:
            await cluster.create(job)
        except TerminalError as error:
            step = not_begun(step, look, str(error))
    return step


async def _keep(step: Plan, cluster: Cluster) -> Plan:
    """Write down what was learned, and delete what nobody asks for; what came of the plan."""
    for hours in step.learned:
        try:
            await cluster.apply([hours_config(hours)])
        except TerminalError as error:
            step = not_kept(step, hours.model, str(error))
    for model in step.forgotten:
        meta = model.metadata
        kept = cluster.get(CONFIG_MAPS, meta.namespace, hours_name(meta.name))
        await cluster.delete(CONFIG_MAPS, [kept] if kept else [])
    return step


async def _tell(key: ObjectKey, step: Plan, cluster: Cluster) -> None:
    for told in step.told:
        name, action = told.model.metadata.name, told.action
        where = f" TrainingJob {action.training_job}." if action.training_job else ""
        await cluster.event(
            told.model,
            type="Warning",
            reason=action.reason,
            message=f"DriftPolicy {key.name}: {action.message}{where}",
        )
        logger.info("%s: %s for %s: %s", key, action.reason, name, action.message)
    for drift in step.models:
        level = cluster.metrics.drift_level.labels(key.namespace, drift.name)
        level.set(SEVERITY[drift.level])
