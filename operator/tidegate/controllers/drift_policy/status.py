"""The status of a DriftPolicy."""

from collections.abc import Iterator
from datetime import datetime

from tidegate.api.meta import Condition, merge_conditions
from tidegate.api.names import ConditionType, Reason
from tidegate.api.v1alpha1.drift_policy import DriftPolicyStatus, ModelDrift
from tidegate.controllers.drift_policy.plan import LEVELS, Plan
from tidegate.controllers.drift_policy.state import Observed
from tidegate.rollout.drift import SEVERITY

NOBODY = "No Model names this policy, and none matches spec.selector."


def status(seen: Observed, plan: Plan, now: datetime) -> DriftPolicyStatus:
    """The whole status; equal to the old one where nothing is new."""
    old = seen.policy.status
    newest = max(
        (m for m in plan.models if m.last_action is not None),
        key=lambda m: m.last_action.at if m.last_action else "",
        default=None,
    )
    return DriftPolicyStatus(
        observed_generation=seen.policy.metadata.generation,
        level=LEVELS[max((SEVERITY[m.level] for m in plan.models), default=-1)],
        watched=len(plan.models),
        last_action=_in_words(newest),
        models=plan.models,
        conditions=merge_conditions(old.conditions, tuple(_conditions(seen, plan)), now),
    )


def _in_words(drift: ModelDrift | None) -> str:
    if drift is None or drift.last_action is None:
        return ""
    return f"{drift.last_action.reason} {drift.name}"


def _conditions(seen: Observed, plan: Plan) -> Iterator[Condition]:
    accepted, fresh = _accepted(seen), _fresh(seen)
    broken = next((c for c in (accepted, fresh) if c.status != "True"), None)
    ready = broken or _condition(
        seen, ConditionType.READY, Reason.VALID, f"Models that are watched: {len(plan.models)}."
    )
    yield ready.model_copy(update={"type": ConditionType.READY.value})
    yield accepted
    yield fresh
    yield _within(seen, plan)


def _condition(
    seen: Observed, kind: ConditionType, reason: Reason, message: str, good: str = "True"
) -> Condition:
    return Condition.model_validate(
        {
            "type": kind.value,
            "status": good,
            "reason": reason.value,
            "message": message[:1024],
            "observed_generation": seen.policy.metadata.generation,
        }
    )


def _accepted(seen: Observed) -> Condition:
    kind = ConditionType.ACCEPTED
    retrains = any(a.do == "Retrain" for a in seen.policy.spec.actions)
    without = [
        w.model.metadata.name for w in seen.watched if retrains and w.model.spec.training is None
    ]
    if without:
        message = (
            f"An action retrains, but these Models have no spec.training.template: "
            f"{', '.join(without[:10])}. Add one, or let the policy only notify."
        )
        return _condition(seen, kind, Reason.NO_TRAINING_TEMPLATE, message, "False")
    unserved = [
        w.model.metadata.name
        for w in seen.watched
        if retrains and w.model.spec.artifact.from_training is None
    ]
    if unserved:
        message = (
            "The spec can be carried out, but what is trained for these Models is not served by "
            f"itself, because they name artifact.uri instead of artifact.fromTraining: "
            f"{', '.join(unserved[:10])}."
        )
        return _condition(seen, kind, Reason.VALID, message)
    return _condition(seen, kind, Reason.VALID, "The spec can be carried out.")


def _fresh(seen: Observed) -> Condition:
    kind = ConditionType.DATA_FRESH
    if not seen.watched:
        return _condition(seen, kind, Reason.NO_MODELS, NOBODY, "Unknown")
    silent = [w for w in seen.watched if w.current is None]
    if silent:
        message = "; ".join(f"{w.model.metadata.name}: {w.missing}" for w in silent[:10])
        return _condition(seen, kind, Reason.AWAITING_EVIDENCE, message, "Unknown")
    return _condition(seen, kind, Reason.DATA_FRESH, "Every watched Model reports.")


def _within(seen: Observed, plan: Plan) -> Condition:
    kind = ConditionType.WITHIN_POLICY
    breached = [m for m in plan.models if m.level == "Breach"]
    if breached:
        told = " ".join(
            f"{m.name}: {s.message}" for m in breached for s in m.signals if s.level == "Breach"
        )
        return _condition(seen, kind, Reason.DRIFT_DETECTED, told, "False")
    if not plan.models:
        return _condition(seen, kind, Reason.NO_MODELS, NOBODY, "Unknown")
    if any(m.level == "Unknown" for m in plan.models):
        message = "Some Models have too little evidence yet."
        return _condition(seen, kind, Reason.AWAITING_EVIDENCE, message, "Unknown")
    return _condition(seen, kind, Reason.WITHIN_POLICY, "No Model is in breach.")
