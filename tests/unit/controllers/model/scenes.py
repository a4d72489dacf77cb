"""Scenes of a Model's life, as its reconcile sees them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.model import Model
from tidegate.controllers.model.plan import Plan, plan
from tidegate.controllers.model.state import Observed, Pod, Revision, Wanted, revision_name
from tidegate.controllers.model.status import status
from tidegate.evidence.windows import BlockKey, Counts, Labels, slot_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD_DIGEST, NEW_DIGEST, NEWER_DIGEST = (f"sha256:{c * 64}" for c in "abc")


def revision(digest: str, number: int = 1) -> Revision:
    name = revision_name("churn", digest, "Skops")
    return Revision(
        name, f"s3://models/{number}/", digest, "Skops", "runtime", "sidecar", None, number
    )


OLD, NEW, NEWER = revision(OLD_DIGEST, 1), revision(NEW_DIGEST, 2), revision(NEWER_DIGEST, 3)
CANARY = {
    "canary": {
        "steps": [
            {"setWeight": 10},
            {"analysis": {}},
            {"setWeight": 50},
            {"analysis": {}},
        ]
    }
}


def model(**spec: Any) -> Model:
    delivery = {
        "strategy": CANARY,
        "analysis": {
            "minSamples": 200,
            "metrics": [
                {
                    "name": "errors",
                    "source": "ErrorRate",
                    "maxAbsoluteIncrease": "0.02",
                    "onBreach": "Rollback",
                }
            ],
        },
        "keepPreviousWarm": "1m",
    }
    return Model.model_validate(
        {
            "metadata": {"name": "churn", "namespace": "growth", "uid": "u-1", "generation": 3},
            "spec": {"artifact": {"fromTraining": {}}, "delivery": delivery, **spec},
        }
    )


def pod(of: Revision, number: int = 0) -> Pod:
    return Pod(f"{of.name}-{number}", f"10.0.0.{number + 1}", of.name)


def wanted(of: Revision | None) -> Wanted:
    reason = Reason.RESOLVED if of else Reason.AWAITING_TRAINING
    return Wanted(of, reason, "as the scene wants it")


class Story:
    """A Model whose objects follow each plan, as the cluster would have it."""

    def __init__(self, start: Model | None = None) -> None:
        self.now = NOW
        self.model = start or model()
        self.wanted: Revision | None = OLD
        self.ready: set[str] = set()
        self.deaf: set[str] = set()
        """Pods that don't confirm a routing document."""
        self.windows: dict[BlockKey, Counts] = {}
        self.labels: dict[BlockKey, Labels] = {}
        self.seen = Observed(self.model, wanted(OLD))
        self.plans: list[Plan] = []

    def look(self, seconds: float = 5) -> Plan:
        """One reconcile, and what the cluster makes of it."""
        self.now += timedelta(seconds=seconds)
        seen = self._observe()
        step = plan(seen, self.now)
        self.plans.append(step)
        new_status = status(seen, step, self.now)
        self.model = self.model.model_copy(update={"status": new_status})
        self.seen = replace(
            seen,
            revisions={**seen.revisions, **{r.name: r for r in step.live}},
            deployed={r.name: 1 for r in step.live},
            serving=step.stable.name if step.stable else None,
            routing=step.routing,
        )
        return step

    def _observe(self) -> Observed:
        pods = tuple(pod(r) for r in (OLD, NEW, NEWER) if r.name in self.ready)
        known = dict(self.seen.revisions)
        if self.wanted is not None:
            known[self.wanted.name] = self.wanted
        generation = self.seen.routing.generation if self.seen.routing else 0
        deployed = dict(self.seen.deployed)
        return replace(
            self.seen,
            model=self.model,
            wanted=wanted(self.wanted),
            revisions=known,
            deployed=deployed,
            pods=tuple(p for p in pods if p.revision in deployed),
            confirmed={p.uid: -1 if p.uid in self.deaf else generation for p in pods},
            windows=dict(self.windows),
            labels=dict(self.labels),
            closed_through=slot_of(self.now.timestamp()) - 1,
            labels_closed_through=slot_of(self.now.timestamp()) - 1,
        )

    def until_promoted_first(self) -> None:
        self.look()
        self.ready = {OLD.name}
        self.look()
        self.look()

    def traffic(self, *, errors: Mapping[str, float], requests: int = 500) -> None:
        """Fill the slot that is now, by the routing document's shares."""
        routing = self.seen.routing
        assert routing is not None
        share = routing.candidate.weight / 100 if routing.candidate else 0.0
        parts = {routing.stable: 1 - share}
        if routing.candidate is not None:
            parts[routing.candidate.revision] = share
        for name, part in parts.items():
            n = round(requests * part)
            failed = round(n * errors.get(name, 0.0))
            key = BlockKey(slot_of(self.now.timestamp()), routing.generation, name)
            self.windows[key] = Counts(requests=n, errors={"5xx": failed} if failed else {})

    @property
    def actions(self) -> list[str]:
        return [d.action for d in self.model.status.decisions]

    def condition(self, kind: str) -> tuple[str, str]:
        found = self.model.status.condition(kind)
        assert found is not None
        return found.status, found.reason
