"""A TrainingJob's reconcile: read once, decide once, apply what differs, write the status once."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.api.meta import ObjectKey
from tidegate.api.names import ConditionType, Reason
from tidegate.api.v1alpha1.training_job import TrainingJobStatus
from tidegate.clients.resources import JOBS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.training_job.desired import desired
from tidegate.controllers.training_job.observe import child_of, observe
from tidegate.controllers.training_job.plan import plan
from tidegate.controllers.training_job.state import Observed, Refusal, job_name
from tidegate.controllers.training_job.status import status
from tidegate.errors import TerminalError

logger = logging.getLogger(__name__)


async def reconcile(key: ObjectKey, cluster: Cluster, now: datetime) -> timedelta | None:
    """Bring the TrainingJob's Job to its end, once; when to look again at the latest."""
    job = cluster.training_job(key)
    if job is None or job.metadata.deletion_timestamp is not None:
        return None  # owned objects go with their owner reference
    seen = await observe(job, cluster)
    step = plan(seen, now)
    if step.create:
        seen = await _create(seen, cluster)
        step = plan(seen, now)
    if step.expired:  # the end is in the status that was read: nothing is lost with the pods
        await cluster.delete(JOBS, cluster.owned(job.metadata.uid, JOBS))
    new = status(seen, step, now)
    await _tell(seen, new, cluster)
    await cluster.apply_status(key, new)
    return step.requeue_after


async def _create(seen: Observed, cluster: Cluster) -> Observed:
    """Make the Job, or learn why there can be none."""
    settings = cluster.settings
    manifest = desired(seen.job, settings.runtime_image, settings.image_pull_policy)
    try:
        created = await cluster.create(manifest)
    except TerminalError as error:
        invalid = error.reason == "Invalid"
        message = f"The API server refuses the Job: {error}"
        return replace(seen, refusal=Refusal(Reason.INVALID_SPEC, message, final=invalid))
    if created is None:
        message = (
            f"Another Job has the name {job_name(seen.job)} and does not belong to this "
            "TrainingJob: the job starts as soon as that one is gone; delete it if it stays."
        )
        return replace(seen, refusal=Refusal(Reason.NAME_TAKEN, message, final=False))
    return replace(seen, child=child_of(created))


async def _tell(seen: Observed, new: TrainingJobStatus, cluster: Cluster) -> None:
    """Each change of the state as a line; start, hindrance and end as Events.

    Before the status, which makes it old news.
    """
    job, old = seen.job, seen.job.status
    before, ready = old.condition(ConditionType.READY), new.condition(ConditionType.READY)
    if ready is None or old.finished:
        return
    if new.state != old.state:
        meta = job.metadata
        logger.info("%s/%s: %s. %s", meta.namespace, meta.name, new.state, ready.message)
    if not old.state and seen.child is not None:
        started = f"Job {seen.child.name} was created."
        await cluster.event(job, type="Normal", reason=Reason.STARTED, message=started)
    stuck = ready.status == "False" and (before is None or before.status != "False")
    if new.finished or stuck:
        good = ready.status == "True"
        await cluster.event(
            job, type="Normal" if good else "Warning", reason=ready.reason, message=ready.message
        )
