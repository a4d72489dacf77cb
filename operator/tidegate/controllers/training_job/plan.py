"""The decisions of a TrainingJob's reconcile: what the job is doing, and how it ended.

Pure: the same observation at the same time gives the same plan.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from tidegate.api.meta import duration, parse_timestamp
from tidegate.api.names import EXIT_PERMANENT, ConditionType, Reason
from tidegate.controllers.training_job.state import (
    STATES,
    Child,
    Container,
    Ended,
    GivenUp,
    Observed,
    Pod,
    Running,
    Stage,
    Summary,
    Waiting,
    output_folder,
)

# A stage that runs for hours need not be seen to the second: each look lists pods.
FIRST_POLL, LARGEST_POLL = timedelta(seconds=3), timedelta(seconds=30)
POLLS_PER_AGE = 20
# Until then a Job without a pod, or a pod that is not placed yet, is nothing to speak of.
PATIENCE = timedelta(seconds=10)
STARTING = ("", "PodInitializing", "ContainerCreating")
PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
AGAIN = "Create it again under a new name."


@dataclass(frozen=True, slots=True)
class Progress:
    """The job goes on."""

    pod: Pod | None = None
    stage: Stage | None = None
    """The stage that runs; none before the first one started."""
    obstacle: str = ""
    """What keeps it from going on, and the fix; empty if nothing does."""


@dataclass(frozen=True, slots=True)
class Success:
    """The job has published a model."""

    pod: Pod
    result: Summary
    uri: str
    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """The job has ended without a model."""

    reason: Reason
    message: str
    at: datetime
    stage: Stage | None = None
    pod: Pod | None = None
    """The last try; none where nothing is left of it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end was written down earlier; nothing about it changes any more."""


Outcome = Progress | Success | Failure | Finished


@dataclass(frozen=True, slots=True)
class Plan:
    """How the job stands, and what is to be done."""

    outcome: Outcome
    create: bool = False
    """Whether the Job is to be made."""
    expired: bool = False
    """Whether the Job and its pods are to be deleted."""
    requeue_after: timedelta | None = None


def plan(seen: Observed, now: datetime) -> Plan:
    """Decide everything there is to decide at this look."""
    outcome = _outcome(seen, now)
    match outcome:
        case Progress():
            create = seen.child is None and seen.refusal is None
            return Plan(outcome, create=create, requeue_after=_poll(seen.child, now))
        case Success() | Failure():
            return Plan(outcome, requeue_after=_until_expired(seen, outcome.at, now))
        case Finished():
            ended = seen.job.status.completion_time
            left = _until_expired(seen, parse_timestamp(ended) if ended else now, now)
            expired = left == timedelta(0)
            return Plan(outcome, expired=expired, requeue_after=None if expired else left)
        case _:
            assert_never(outcome)


def _poll(child: Child | None, now: datetime) -> timedelta:
    if child is None:
        return LARGEST_POLL  # refused: a watch tells of another Job's end only if it is ours
    return min(max((now - child.started) / POLLS_PER_AGE, FIRST_POLL), LARGEST_POLL)


def _until_expired(seen: Observed, ended: datetime, now: datetime) -> timedelta | None:
    """How long the Job stays; None if there is none to wait for."""
    if seen.child is None:
        return None
    return max(ended + duration(seen.job.spec.ttl_after_finished) - now, timedelta(0))


def _outcome(seen: Observed, now: datetime) -> Outcome:
    if seen.job.status.finished:
        return Finished()
    if seen.refusal is not None and seen.refusal.final:
        return Failure(seen.refusal.reason, seen.refusal.message, now)
    child = seen.child
    if child is None:
        return Progress(obstacle=seen.refusal.message if seen.refusal else "")
    if child.succeeded_at is not None:
        return _published(seen, child.succeeded_at)
    if child.given_up is not None:
        return _failed(seen, child, child.given_up)
    pod = seen.pods[-1] if seen.pods else None
    told = _obstacle(seen, child, pod, now)
    return Progress(pod, _stage(pod, retried=_retried(seen, child, pod)), told)


def _stage(pod: Pod | None, *, retried: bool) -> Stage | None:
    """The first stage that has not ended well; none while nothing runs."""
    if pod is None or retried:
        return None
    for stage, container in pod.stages():
        match container:
            case Waiting() if stage is Stage.FETCH:
                return None
            case Waiting() | Running():
                return stage
            case Ended(exit_code=0):
                continue
            case Ended():
                return stage
    return Stage.PUBLISH


def _retried(seen: Observed, child: Child, pod: Pod | None) -> bool:
    """Whether the last try has failed in a way that another follows."""
    if pod is not None and (pod.evicted or pod.outage() is not None):
        return True  # no fault of the job's: such a try is not counted
    failure = pod.failure() if pod is not None else None
    if failure is None or failure[1].exit_code == EXIT_PERMANENT:
        return False
    return _failures(seen, child) <= seen.job.spec.retries


def _failures(seen: Observed, child: Child) -> int:
    """How many tries have failed; the Job counts a pod later than we see it."""
    return max(child.failures, sum(p.counted for p in seen.pods))


def _obstacle(seen: Observed, child: Child, pod: Pod | None, now: datetime) -> str:
    """What keeps the job from going on, and the fix; empty if nothing does."""
    early = now - child.started < PATIENCE
    if pod is None:
        told = f"`kubectl describe job {child.name}` tells why (a quota, or an admission rule)."
        return "" if early else f"Job {child.name} has no pod: {told}"
    if pod.unschedulable:
        fix = "Add a node, or create the job again with smaller spec.resources."
        return "" if early else f"No node takes pod {pod.name}: {pod.unschedulable} {fix}"
    if pod.evicted:
        return f"Pod {pod.name} was ended from outside: {pod.evicted} The Job makes another."
    if told := _outage(seen):
        return told
    failure = pod.failure()
    if failure is not None and _retried(seen, child, pod):
        _, message = _explained(seen, pod, *failure)
        tries = f"Try {_failures(seen, child)} of {seen.job.spec.retries + 1}"
        return f"{tries} failed: {message} The Job tries again."
    return next((w for s, c in pod.stages() if (w := _held_up(seen, s, c))), "")


def _outage(seen: Observed) -> str:
    """What the newest try that has ended in `fetch` says, while none has come further."""
    pod = seen.pods[-1]
    if not isinstance(pod.containers.get(Stage.FETCH), Ended) and len(seen.pods) > 1:
        pod = seen.pods[-2]
    ended = pod.outage()
    if ended is None:
        return ""
    _, message = _explained(seen, pod, Stage.FETCH, ended)
    return f"{message} The job tries again until its deadline ({seen.job.spec.deadline})."


def _held_up(seen: Observed, stage: Stage, container: Container) -> str:
    """Why a container does not start, if not for the time that this takes."""
    if not isinstance(container, Waiting) or container.reason in STARTING:
        return ""
    if container.reason == "CreateContainerConfigError":  # the only one of ours: a Secret
        fix = f"Create it in namespace {seen.job.metadata.namespace}, and the job goes on."
    elif container.reason in PULLING:
        fix = "The operator's chart value image.runtime says which image; the nodes must reach it."
    else:
        fix = "The job goes on as soon as the node can start it."
    return f"Stage {stage} can't start ({container.reason}): {container.message}. {fix}"


def _published(seen: Observed, at: datetime) -> Success | Failure:
    """The Job is complete; it has succeeded only if its last line says what was published."""
    job = seen.job
    pod = next((p for p in reversed(seen.pods) if _ran_through(p)), None)
    if pod is None:
        message = (
            "The Job is complete, but its pod was deleted before its result could be read: "
            f"what it published is not verified and is not served. {AGAIN}"
        )
        return Failure(Reason.RESULT_UNREADABLE, message, at)
    result = pod.result(Stage.PUBLISH)
    if result is not None and not result.metrics:
        message = (
            "The job published a model without metrics: metrics.json is missing or empty, and a "
            "model that was not measured is not served."
        )
        return Failure(Reason.METRICS_MISSING, message, at, Stage.PUBLISH, pod)
    if (
        result is None
        or result.digest is None
        or result.uri != output_folder(job)
        or result.format != job.spec.output.format
    ):
        message = (
            f"The pod {pod.name} ended well, but its last line names no {job.spec.output.format} "
            f"model with a digest in {output_folder(job)}: the runtime image and the operator "
            f"must be of the same release. {AGAIN}"
        )
        return Failure(Reason.RESULT_UNREADABLE, message, at, Stage.PUBLISH, pod)
    return Success(pod, result, result.uri, result.digest, at)


def _ran_through(pod: Pod) -> bool:
    return isinstance(pod.containers.get(Stage.PUBLISH), Ended) and pod.failure() is None


def _failed(seen: Observed, child: Child, given_up: GivenUp) -> Failure:
    """Why the Job was given up, from what its last try left behind."""
    if given_up.reason == "DeadlineExceeded":
        return _late(seen, given_up)
    pod = next((p for p in reversed(seen.pods) if p.failure() or p.evicted), None)
    failures = _failures(seen, child)
    tries = f" ({failures} tries)" if failures > 1 else ""
    if pod is None:
        message = f"{given_up.message or given_up.reason}{tries}, and no pod is left to tell why."
        return Failure(Reason.JOB_FAILED, message, given_up.at)
    failure = pod.failure()
    if failure is None:
        message = f"Pod {pod.name} was ended from outside: {pod.evicted}{tries}"
        return Failure(Reason.JOB_FAILED, message, given_up.at, pod=pod)
    stage, ended = failure
    reason, message = _explained(seen, pod, stage, ended)
    return Failure(reason, f"{message}{tries}", given_up.at, stage, pod)


def _explained(seen: Observed, pod: Pod, stage: Stage, ended: Ended) -> tuple[Reason, str]:
    """Why a stage failed: in its own words, or, where it left none, by how it ended."""
    said = ended.summary
    if said is not None and not said.ok:
        known = said.reason in list(Reason)
        where = f"{said.field}: " if said.field not in said.message else ""
        return Reason(said.reason) if known else Reason.JOB_FAILED, f"{where}{said.message}"
    if ended.reason == "OOMKilled":
        limit = seen.job.spec.resources.limits.get("memory")
        allowed = f"its limit of {limit}" if limit else "its node had left"
        message = (
            f"Stage {stage} was killed because it used more memory than {allowed}: create the job "
            "again with a larger spec.resources.limits.memory, or with less data."
        )
        return Reason.OOM_KILLED, message
    if pod.evicted:
        return Reason.JOB_FAILED, f"Pod {pod.name} was ended from outside: {pod.evicted}"
    message = (
        f"Stage {stage} ended with exit code {ended.exit_code} and without a word: "
        f"`kubectl logs {pod.name} -c {stage}` may tell why."
    )
    return Reason.JOB_FAILED, message


def _late(seen: Observed, given_up: GivenUp) -> Failure:
    """The deadline ends the pod and takes it away: where it stood, the last look has told."""
    old = seen.job.status
    stage = next((s for s, state in STATES.items() if state == old.state), None)
    ready = old.condition(ConditionType.READY)
    told = f" {ready.message}" if ready is not None and ready.status == "False" else ""
    message = (
        f"The job ran longer than spec.deadline ({seen.job.spec.deadline}) and was ended in the "
        f"state {old.state or Reason.PENDING.value}: create it again with a later deadline, or "
        f"with more resources.{told}"
    )
    return Failure(Reason.DEADLINE_EXCEEDED, message, given_up.at, stage)
