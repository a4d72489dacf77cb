"""Recordings: windows that outlive the hour for which pods and operator keep them.

A recording is a folder of parts; a part is what was known of one Model at one time. Parts overlap
and are read together: of two that know a block, the later one is right, as labels still come in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.api.v1alpha1.model import Model
from tidegate.evidence.profile import Profile
from tidegate.evidence.values import ValueKey, Values
from tidegate.evidence.windows import (
    BlockKey,
    Counts,
    Labels,
    labels_from_json,
    labels_to_json,
)

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Recording:
    """What the pods of a Model have counted, merged over the pods."""

    namespace: str
    model: str
    closed_through: int | None = None
    """The newest slot that no pod will change any more; None before any pod was heard."""
    labels_closed_through: int | None = None
    windows: Mapping[BlockKey, Counts] = field(default_factory=dict)
    labels: Mapping[BlockKey, Labels] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """Reference profiles by revision."""
    snapshots: tuple[Model, ...] = ()
    """The Model as it stood when a part was recorded, oldest first."""
    values: Values = field(default_factory=dict)
    """What Prometheus said."""
    values_closed_through: int | None = None

    @property
    def slots(self) -> tuple[int, int] | None:
        """The first and the last slot in which anything was counted."""
        numbers = [k.slot for k in self.windows]
        return (min(numbers), max(numbers)) if numbers else None

    def to_json(self) -> dict[str, Any]:
        return {
            "version": FORMAT,
            "namespace": self.namespace,
            "model": self.model,
            "closedThrough": self.closed_through,
            "labelsClosedThrough": self.labels_closed_through,
            "windows": [[*k, c.to_json()] for k, c in sorted(self.windows.items())],
            **labels_to_json(self.labels),
            "values": [[*k, v] for k, v in sorted(self.values.items())],
            "valuesClosedThrough": self.values_closed_through,
            "profiles": {name: p.to_json() for name, p in sorted(self.profiles.items())},
            "snapshots": [m.to_api() for m in self.snapshots],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Recording":
        """Raise KeyError, TypeError or ValueError where `data` is no part of a recording."""
        if data["version"] != FORMAT:
            raise ValueError(f"version {data['version']} of the format is not known")
        closed, labels_closed = data["closedThrough"], data["labelsClosedThrough"]
        values_closed = data.get("valuesClosedThrough")  # older parts know nothing of values
        return cls(
            namespace=str(data["namespace"]),
            model=str(data["model"]),
            closed_through=None if closed is None else int(closed),
            labels_closed_through=None if labels_closed is None else int(labels_closed),
            windows={
                BlockKey(int(slot), int(generation), str(revision)): Counts.from_json(counts)
                for slot, generation, revision, counts in data["windows"]
            },
            labels=labels_from_json(data),
            values={
                ValueKey(int(slot), str(question), str(revision)): None
                if value is None
                else float(value)
                for slot, question, revision, value in data.get("values", ())
            },
            values_closed_through=None if values_closed is None else int(values_closed),
            profiles={str(r): Profile.from_json(p) for r, p in data["profiles"].items()},
            snapshots=tuple(Model.model_validate(m) for m in data["snapshots"]),
        )


def joined(parts: Iterable[Recording]) -> Recording:
    """Many parts of one Model's recording as one; ValueError if they are of several Models."""
    ordered = sorted(parts, key=lambda p: p.closed_through or 0)
    models = {(p.namespace, p.model) for p in ordered}
    if len(models) != 1:
        raise ValueError(f"the parts are of {len(models)} Models, not of one")
    (namespace, model), newest = models.pop(), ordered[-1]
    return Recording(
        namespace=namespace,
        model=model,
        closed_through=newest.closed_through,
        labels_closed_through=newest.labels_closed_through,
        windows={k: c for p in ordered for k, c in p.windows.items()},
        labels={k: n for p in ordered for k, n in p.labels.items()},
        values={k: v for p in ordered for k, v in p.values.items()},
        values_closed_through=newest.values_closed_through,
        profiles={r: f for p in ordered for r, f in p.profiles.items()},
        snapshots=tuple(s for p in ordered for s in p.snapshots),
    )
