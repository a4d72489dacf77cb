"""The routing document: what the operator tells the sidecars, in one signed piece.

It travels two ways: pushed to each sidecar's control port (milliseconds), and as a ConfigMap that
is mounted in every pod (up to a minute; what a new pod starts from). A sidecar keeps the highest
generation that it has seen and refuses older ones.
"""

import json
from dataclasses import dataclass
from typing import Any

from tidegate.errors import TerminalError


@dataclass(frozen=True, slots=True)
class Member:
    """A pod of the Model: who it is and where its traffic port is."""

    uid: str
    address: str
    """`ip:port` of the traffic port."""
    revision: str


@dataclass(frozen=True, slots=True)
class Match:
    """A header whose value sends a request to the candidate, whatever the weight."""

    header: str
    value: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where the candidate's share goes."""

    revision: str
    address: str
    """`host:port` of the candidate's Service."""
    weight: int
    """Percent of the requests, 0 to 100."""
    sticky: str = ""
    """The header whose value decides for all requests that have it; empty: each one is drawn."""
    match: tuple[Match, ...] = ()
    shadow: int = 0
    """Percent of the requests that stable answers of which the candidate gets a copy."""


@dataclass(frozen=True, slots=True)
class Routing:
    """Who gets which share of a Model's requests.

    Only pods of the `stable` revision split. Pods of any other revision answer themselves what is
    routed to them; a pod that was stable before a promotion meets a document whose `stable` is
    another revision and forwards everything to `stable_address` until it is gone.
    """

    model: str
    generation: int
    stable: str
    stable_address: str
    candidate: Candidate | None = None
    members: tuple[Member, ...] = ()
    prediction_edges: tuple[float, ...] = ()
    """Bin edges that both arms count numeric predictions with; each arm's own profile if empty."""
    feedback_horizon_seconds: int = 86400
    feedback_enabled: bool = True
    mark_key: str = ""
    """Hexadecimal: what the pods of the Model sign their marks with, see `traffic.marks`."""

    def to_json(self) -> str:
        """The canonical text that is signed: equal documents give equal bytes."""
        candidate = self.candidate and {
            "revision": self.candidate.revision,
            "address": self.candidate.address,
            "weight": self.candidate.weight,
            "sticky": self.candidate.sticky,
            "match": [[m.header, m.value] for m in self.candidate.match],
            "shadow": self.candidate.shadow,
        }
        document = {
            "model": self.model,
            "generation": self.generation,
            "stable": self.stable,
            "stableAddress": self.stable_address,
            "candidate": candidate,
            "members": [[m.uid, m.address, m.revision] for m in self.members],
            "predictionEdges": list(self.prediction_edges),
            "feedbackHorizonSeconds": self.feedback_horizon_seconds,
            "feedbackEnabled": self.feedback_enabled,
            "markKey": self.mark_key,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Routing":
        """Raise TerminalError(InvalidRouting) if the text is not a routing document."""
        try:
            data: dict[str, Any] = json.loads(text)
            return cls(
                model=str(data["model"]),
                generation=int(data["generation"]),
                stable=str(data["stable"]),
                stable_address=str(data["stableAddress"]),
                candidate=data["candidate"] and _candidate(data["candidate"]),
                members=tuple(Member(str(u), str(a), str(r)) for u, a, r in data["members"]),
                prediction_edges=tuple(float(e) for e in data["predictionEdges"]),
                feedback_horizon_seconds=int(data["feedbackHorizonSeconds"]),
                feedback_enabled=bool(data["feedbackEnabled"]),
                mark_key=bytes.fromhex(data["markKey"]).hex(),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TerminalError("InvalidRouting", f"not a routing document: {error!r}") from error


def _candidate(data: dict[str, Any]) -> Candidate:
    return Candidate(
        revision=str(data["revision"]),
        address=str(data["address"]),
        weight=int(data["weight"]),
        sticky=str(data["sticky"]),
        match=tuple(Match(str(header), str(value)) for header, value in data["match"]),
        shadow=int(data["shadow"]),
    )
