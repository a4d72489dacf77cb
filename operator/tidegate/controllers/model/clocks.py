"""Clocks that are wrong: whose they are, and what that means for the evidence. Pure."""

from datetime import datetime, timedelta

from tidegate.api.meta import in_words, parse_timestamp, timestamp
from tidegate.api.v1alpha1.model_status import ModelStatus
from tidegate.controllers.model.state import Observed, Pod

NAMED = 3


def skewed(seen: Observed) -> str:
    """Which pods are left out of the evidence for their clocks, in words; empty if none is."""
    wrong = [p for p in (*seen.pods, *seen.unready) if p.uid in seen.skews]
    if not wrong:
        return ""
    told = ", ".join(_told(pod, seen.skews[pod.uid]) for pod in wrong[:NAMED])
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    heard = [p for p in seen.pods if p.uid in seen.confirmed]
    blamed = "on these nodes"
    if len(wrong) > 1 and all(p.uid in seen.skews for p in heard):
        blamed = "on the operator's node first, as no pod's clock agrees with it"
    return (
        f"Clocks differ from the operator's: {told}{more}. What these pods count is left out of "
        f"the evidence. Look at the time synchronization (NTP) {blamed}."
    )


def in_step(status: ModelStatus, step: timedelta, now: datetime) -> ModelStatus:
    """The status with its times by the clock as it is now, which was set by `step`.

    So pauses and timeouts take as long as they should. What has begun in the future did so by a
    clock that was set back while nobody looked: it begins now.
    """

    def moved(time: str) -> str:
        if not time:
            return time
        before = parse_timestamp(time)
        after = min(before + step, now)
        return time if after == before else timestamp(after)

    conditions = tuple(
        c.model_copy(update={"last_transition_time": moved(c.last_transition_time)})
        for c in status.conditions
    )
    rollout, previous = status.rollout, status.previous
    if rollout is not None:
        begun = rollout.step.model_copy(update={"started_at": moved(rollout.step.started_at)})
        rollout = rollout.model_copy(update={"step": begun})
    if previous is not None and previous.warm_until and step:
        until = timestamp(parse_timestamp(previous.warm_until) + step)
        previous = previous.model_copy(update={"warm_until": until})
    changed = {"conditions": conditions, "rollout": rollout, "previous": previous}
    return status.model_copy(update=changed)


def _told(pod: Pod, seconds: float) -> str:
    where = f" on {pod.node}" if pod.node else ""
    side = "ahead" if seconds > 0 else "behind"
    length = in_words(timedelta(seconds=round(abs(seconds))))
    return f"{pod.name or pod.uid}{where} is {length} {side}"
