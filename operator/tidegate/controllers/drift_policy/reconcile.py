"""A DriftPolicy's reconcile: read once, decide once, act, write the status once."""

import logging
from datetime import datetime, timedelta

from tidegate.api.meta import ObjectKey
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.drift_policy.desired import training_job
from tidegate.controllers.drift_policy.observe import observe
from tidegate.controllers.drift_policy.plan import Plan, plan
from tidegate.controllers.drift_policy.status import status
from tidegate.rollout.drift import SEVERITY

logger = logging.getLogger(__name__)


async def reconcile(key: ObjectKey, cluster: Cluster, now: datetime) -> timedelta | None:
    """Assess the watched Models and do what the policy says; when to look again."""
    policy = cluster.drift_policy(key)
    if policy is None or policy.metadata.deletion_timestamp is not None:
        return None
    seen = observe(policy, cluster)
    step = plan(seen, now)
    for run in step.runs:
        if await cluster.create(training_job(policy, run)) is not None:
            cluster.metrics.retrains.labels(key.namespace, run.model.metadata.name).inc()
    await _tell(key, step, cluster)
    await cluster.apply_status(key, status(seen, step, now))
    return step.requeue_after if seen.watched else None


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
