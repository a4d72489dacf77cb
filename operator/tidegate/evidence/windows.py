"""Windows: what the sidecars count, as integers that add up over pods.

The unit is a *block*: one 10 s slot of wall-clock time under one generation of the routing
document, for one revision. Blocks are cut where the weights change, so that inside a block the
share of the candidate is constant and the comparison of the arms is fair.

A request is counted once, by the pod that answered it, in the slot in which it arrived. Only a
request that the candidate never answered is counted by the pod that tried to forward it, as an
`unreachable` error of the candidate.

Requests that were not routed by lot (a rule of the spec chose the candidate, a client made up a
mark, somebody asked the candidate's pods directly) are counted under the generation `UNDRAWN`. They
are seen like all others, but they are no evidence between the arms.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Any, NamedTuple

from tidegate.evidence import ranked as by_bin
from tidegate.evidence.ranked import Ranked

SLOT_SECONDS = 10
UNDRAWN = -1


def slot_of(unix_seconds: float) -> int:
    """The number of the slot that a time falls in."""
    return int(unix_seconds // SLOT_SECONDS)


class BlockKey(NamedTuple):
    """Which block: slot number, generation of the routing document, revision."""

    slot: int
    generation: int
    revision: str

    @property
    def compares(self) -> bool:
        """Whether its requests were routed by lot, so that both arms have a fair sample."""
        return self.generation != UNDRAWN


def _added(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    if not a or not b:
        return dict(a or b)
    return {k: a.get(k, 0) + b.get(k, 0) for k in sorted({*a, *b})}


def _summed(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    if len(a) < len(b):
        a, b = b, a
    return tuple(map(add, a, b if len(a) == len(b) else b + (0,) * (len(a) - len(b))))


def _integers(counts: Sequence[int]) -> tuple[int, ...]:
    """The counts of a feature; one that is no integer shows in the type of their sum."""
    if type(sum(counts)) is not int:
        raise TypeError(f"counts must be integers, got {counts!r:.100}")
    return tuple(counts)


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened in a block."""

    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    """Failed requests by class: `5xx`, `rejected` (400 and 422), `unreachable`, `timeout`."""
    latency: Mapping[str, int] = field(default_factory=dict)
    """Requests by latency bin (`evidence.latency`), the bin's index as text; answered ones only."""
    rows: int = 0
    """Rows that were decoded; features and predictions are counted over these."""
    features: tuple[tuple[int, ...], ...] = ()
    """Rows by bin, for each feature of the reference profile, in its order."""
    predictions: Mapping[str, int] = field(default_factory=dict)
    """Rows by predicted label, or by bin of the prediction (index as text)."""
    unparsed: Mapping[str, int] = field(default_factory=dict)
    """Requests whose payload could not be decoded, by reason."""
    dropped: int = 0
    """Copies of requests that the monitor was too slow to take: counted, never decoded."""
    pairs: Mapping[str, int] = field(default_factory=dict)
    """Shadow copies to this revision by what came of them (`evidence.paired`), counted by the pods
    that answered the originals. They are none of `requests`."""

    @property
    def failed(self) -> int:
        """Requests that failed for any reason that speaks against the model."""
        return sum(self.errors.values())

    def __add__(self, other: "Counts") -> "Counts":
        features = self.features or other.features
        if self.features and other.features:
            features = tuple(map(_summed, self.features, other.features))
        return Counts(
            requests=self.requests + other.requests,
            errors=_added(self.errors, other.errors),
            latency=_added(self.latency, other.latency),
            rows=self.rows + other.rows,
            features=features,
            predictions=_added(self.predictions, other.predictions),
            unparsed=_added(self.unparsed, other.unparsed),
            dropped=self.dropped + other.dropped,
            pairs=_added(self.pairs, other.pairs),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "errors": dict(self.errors),
            "latency": dict(self.latency),
            "rows": self.rows,
            "features": [list(f) for f in self.features],
            "predictions": dict(self.predictions),
            "unparsed": dict(self.unparsed),
            "dropped": self.dropped,
            "pairs": dict(self.pairs),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Counts":
        return cls(
            requests=int(data["requests"]),
            errors={str(k): int(v) for k, v in data["errors"].items()},
            latency={str(k): int(v) for k, v in data["latency"].items()},
            rows=int(data["rows"]),
            features=tuple(map(_integers, data["features"])),
            predictions={str(k): int(v) for k, v in data["predictions"].items()},
            unparsed={str(k): int(v) for k, v in data["unparsed"].items()},
            dropped=int(data["dropped"]),
            # Absent from a sidecar that is as old as the revision it stands before.
            pairs={str(k): int(v) for k, v in data.get("pairs", {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Labels:
    """What feedback said of the answers of a block; the block is that of the answer."""

    labelled: int = 0
    wrong: int = 0
    ranked: Ranked = ()
    """Those of them whose answers had scores, if the reference profile says how they rank."""

    def __add__(self, other: "Labels") -> "Labels":
        return Labels(
            self.labelled + other.labelled,
            self.wrong + other.wrong,
            by_bin.added(self.ranked, other.ranked) if self.ranked or other.ranked else (),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What one sidecar answers to `GET /windows?after=<slot>&labelsAfter=<slot>`.

    `closed_through` is the newest slot that will not change any more; `labels_closed_through` the
    same for labels, which close when the feedback horizon has passed. `first_slot` is the oldest
    slot that this process still knows or has lived through: slots before it are lost.
    """

    member: str
    """The pod's uid."""
    revision: str
    generation: int
    """The routing generation that the proxy acts on."""
    first_slot: int
    closed_through: int
    labels_closed_through: int
    windows: Mapping[BlockKey, Counts] = field(default_factory=dict)
    labels: Mapping[BlockKey, Labels] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    """Feedback refused since the pod started, by reason: duplicate, forged, unknown, late."""
    counted: int = 0
    """Requests in slots up to `closed_through` since the pod started, told or not: by how much it
    grows beyond what the windows say, so many requests are lost."""
    more: bool = False
    """More slots are closed than are told at once: ask again for those after `closed_through`."""

    def to_json(self) -> dict[str, Any]:
        return {
            "member": self.member,
            "revision": self.revision,
            "generation": self.generation,
            "firstSlot": self.first_slot,
            "closedThrough": self.closed_through,
            "labelsClosedThrough": self.labels_closed_through,
            "windows": [[*k, c.to_json()] for k, c in sorted(self.windows.items())],
            **labels_to_json(self.labels),
            "refused": dict(self.refused),
            "counted": self.counted,
            "more": self.more,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Report":
        """Raise KeyError, TypeError or ValueError where `data` is not a report."""
        return cls(
            member=str(data["member"]),
            revision=str(data["revision"]),
            generation=int(data["generation"]),
            first_slot=int(data["firstSlot"]),
            closed_through=int(data["closedThrough"]),
            labels_closed_through=int(data["labelsClosedThrough"]),
            windows={
                BlockKey(int(slot), int(generation), str(revision)): Counts.from_json(counts)
                for slot, generation, revision, counts in data["windows"]
            },
            labels=labels_from_json(data),
            refused={str(k): int(v) for k, v in data["refused"].items()},
            counted=int(data.get("counted", 0)),  # absent from older sidecars, as the next one
            more=bool(data.get("more", False)),
        )


def labels_to_json(labels: Mapping[BlockKey, Labels]) -> dict[str, Any]:
    """What sidecars report and recordings keep of labels, as parts of their documents."""
    told = sorted(labels.items())
    return {
        "labels": [[*k, n.labelled, n.wrong] for k, n in told],
        "ranked": [[*k, n.ranked] for k, n in told if n.ranked],
    }


def labels_from_json(data: Mapping[str, Any]) -> dict[BlockKey, Labels]:
    """Raise KeyError, TypeError or ValueError where `data` has no labels."""
    ranked = {  # absent from older sidecars and recordings
        (slot, generation, revision): by_bin.from_json(bins)
        for slot, generation, revision, bins in data.get("ranked", ())
    }
    return {
        BlockKey(int(slot), int(generation), str(revision)): Labels(
            int(n), int(wrong), ranked.get((slot, generation, revision), ())
        )
        for slot, generation, revision, n, wrong in data["labels"]
    }


def merged(parts: Iterable[Mapping[BlockKey, Counts]]) -> dict[BlockKey, Counts]:
    """The windows of many pods as one; the order of the pods does not matter."""
    total: dict[BlockKey, Counts] = {}
    for part in parts:
        for key, counts in part.items():
            total[key] = total[key] + counts if key in total else counts
    return total


def merged_labels(parts: Iterable[Mapping[BlockKey, Labels]]) -> dict[BlockKey, Labels]:
    """The labels of many pods as one."""
    total: dict[BlockKey, Labels] = {}
    for part in parts:
        for key, labels in part.items():
            total[key] = total[key] + labels if key in total else labels
    return total
