"""What a user can see of the demo at one moment: the kinds' statuses, the clients' counters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Status = Mapping[str, Any]
JOB_PREFIX = "tumours-"
RETRAINED = "v5"  # the policy names its job after the evidence; the story names it after its turn
RECENT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of the canary: candidate against stable."""

    name: str
    verdict: str
    estimate: float | None
    lower: float | None
    upper: float | None
    tolerance: str
    samples: int


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of the drift policy."""

    name: str
    level: str
    value: float | None
    samples: int
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the operator decided, and why."""

    id: str
    at: str
    action: str
    version: str
    reason: str
    message: str
    metrics: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Seconds:
    """What the clients saw: one entry for each second of wall-clock time."""

    at: tuple[int, ...] = ()
    answered: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()

    @property
    def total_answered(self) -> int:
        return sum(self.answered)

    @property
    def total_failed(self) -> int:
        return sum(self.failed)

    def accuracy(self, since: float, until: float = float("inf")) -> float | None:
        """The share of right answers in a stretch of time."""
        chosen = [i for i, at in enumerate(self.at) if since <= at < until]
        answered = sum(self.answered[i] for i in chosen)
        return sum(self.right[i] for i in chosen) / answered if answered else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look."""

    at: float
    stable: str = ""
    """The version that is stable, such as `v1`; empty before the first."""
    candidate: str = ""
    weight: int = 0
    """The percentage of requests that the candidate gets."""
    state: str = ""
    message: str = ""
    ready: bool = False
    comparisons: tuple[Comparison, ...] = ()
    decisions: tuple[Decision, ...] = ()
    rejected: tuple[str, ...] = ()
    jobs: Mapping[str, str] = field(default_factory=dict)
    """The state of each TrainingJob, by version."""
    job_messages: Mapping[str, str] = field(default_factory=dict)
    drift_level: str = ""
    signals: tuple[Signal, ...] = ()
    last_action: str = ""
    clients: Seconds = Seconds()

    def decided(self, action: str, version: str) -> Decision | None:
        """The newest decision of a kind about a version."""
        found = (d for d in reversed(self.decisions) if (d.action, d.version) == (action, version))
        return next(found, None)

    def signal(self, name: str) -> Signal | None:
        return next((s for s in self.signals if s.name == name), None)

    def recent_accuracy(self) -> float | None:
        return self.clients.accuracy(self.at - RECENT_SECONDS - 1)


def version_of(training_job: str) -> str:
    """The version that a TrainingJob makes, as the story calls it."""
    name = training_job.removeprefix(JOB_PREFIX)
    return RETRAINED if name.startswith("retrain") else name


class Reader:
    """Turns raw objects into snapshots; remembers which revision is which version."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}

    def read(
        self,
        at: float,
        model: Status | None,
        policy: Status | None,
        jobs: Iterable[Mapping[str, Any]],
        clients: Seconds,
    ) -> Snapshot:
        model, policy = model or {}, policy or {}
        for key in ("stable", "candidate"):
            entry = model.get(key) or {}
            if entry.get("trainingJob"):
                self._versions[entry["revision"]] = version_of(entry["trainingJob"])
        rollout = model.get("rollout") or {}
        candidate = model.get("candidate") or {}
        drift: Status = next(iter(policy.get("models") or []), {})
        states = {version_of(job["metadata"]["name"]): job.get("status") or {} for job in jobs}
        return Snapshot(
            at=at,
            stable=self._version((model.get("stable") or {}).get("revision", "")),
            candidate=self._version(candidate.get("revision", "")),
            weight=int(candidate.get("weight", 0)),
            state=rollout.get("state", ""),
            message=rollout.get("message", "") if candidate else "",
            ready=_condition(model, "Ready").get("status") == "True",
            comparisons=_comparisons(rollout) if candidate else (),
            decisions=tuple(self._decision(d) for d in model.get("decisions") or []),
            rejected=tuple(self._version(r["revision"]) for r in model.get("rejected") or []),
            jobs={version: status.get("state", "") for version, status in states.items()},
            job_messages={
                version: _condition(status, "Ready").get("message", "")
                for version, status in states.items()
            },
            drift_level=drift.get("level", ""),
            signals=tuple(_signal(s) for s in drift.get("signals") or []),
            last_action=(drift.get("lastAction") or {}).get("do", ""),
            clients=clients,
        )

    def _version(self, revision: str) -> str:
        return self._versions.get(revision, revision)

    def _decision(self, data: Mapping[str, Any]) -> Decision:
        return Decision(
            id=data["id"],
            at=data["at"],
            action=data["action"],
            version=self._version(data["revision"]),
            reason=data["reason"],
            message=data.get("message", ""),
            metrics=_comparisons(data),
        )


def _comparisons(data: Mapping[str, Any]) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(
            name=m["name"],
            verdict=m["verdict"],
            estimate=_number(m.get("estimate")),
            lower=_number(m.get("lower")),
            upper=_number(m.get("upper")),
            tolerance=m.get("tolerance", ""),
            samples=int(m.get("samples", 0)),
        )
        for m in data.get("metrics") or []
    )


def _signal(data: Mapping[str, Any]) -> Signal:
    return Signal(
        name=data["name"],
        level=data["level"],
        value=_number(data.get("value")),
        samples=int(data.get("samples", 0)),
        message=data.get("message", ""),
    )


def _condition(status: Status, kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or [] if c["type"] == kind), {})


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
