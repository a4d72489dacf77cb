"""Recordings and connections for the commands' tests."""

from collections.abc import Mapping, Sequence

import numpy as np
from tests.unit.controllers.model.scenes import NEW, OLD, Story
from typing_extensions import override

from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.cli.access import Access
from tidegate.errors import TerminalError
from tidegate.evidence.profile import make_profile
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import BlockKey, Counts, Labels

RNG = np.random.default_rng(11)
PROFILE = make_profile(
    {"age": RNG.normal(0, 1, 3000)},
    {"age": "number"},
    predictions=["yes"] * 900 + ["no"] * 2100,
    task="classification",
    metrics={"accuracy": 0.9},
)


class Known(Access):
    """A cluster that holds these objects, and whose operator knows this recording."""

    def __init__(
        self,
        models: Sequence[Model] = (),
        policies: Sequence[DriftPolicy] = (),
        recording: Recording | None = None,
    ) -> None:
        self.namespace = "growth"
        self._models, self._policies, self._recording = models, policies, recording

    @override
    async def model(self, name: str) -> Model:
        found = next((m for m in self._models if m.metadata.name == name), None)
        if found is None:
            raise TerminalError("NotFound", f"there is no Model {name}")
        return found

    @override
    async def models(self, *, everywhere: bool) -> list[Model]:
        return list(self._models)

    @override
    async def drift_policy(self, name: str) -> DriftPolicy | None:
        return next((p for p in self._policies if p.metadata.name == name), None)

    @override
    async def evidence(self, model: str, *, after: int = 0, labels_after: int = 0) -> Recording:
        return self._recording or Recording(self.namespace, model)


def rollout(errors: Mapping[str, float], looks: int) -> Story:
    """A Model whose candidate has been looked at so many times under traffic."""
    story = Story()
    story.until_promoted_first()
    story.wanted, story.ready = NEW, {OLD.name, NEW.name}
    for _ in range(looks):
        story.look(10)
        story.traffic(errors=errors, requests=2000)
    return story


def recording_of(story: Story) -> Recording:
    """What `record` would have kept of a story."""
    closed = max((k.slot for k in story.windows), default=0)
    return Recording(
        namespace="growth",
        model="churn",
        closed_through=closed,
        labels_closed_through=closed,
        windows=dict(story.windows),
        labels=dict(story.labels),
        snapshots=(story.model,),
    )


def drifting(*, minutes: int, since: int, shift: float = 1.5, wrong: float = 0.1) -> Recording:
    """A recording of one revision; from minute `since` on its inputs are shifted."""
    rng = np.random.default_rng(5)
    first = 1_000_002  # a window of one minute begins here
    windows, labels = {}, {}
    for slot in range(first, first + 6 * minutes):
        moved = slot >= first + 6 * since
        encoded = PROFILE.encode({"age": rng.normal(shift if moved else 0, 1, 100)})
        key = BlockKey(slot, 1, "churn-a")
        yes = int(rng.binomial(100, 0.3))
        windows[key] = Counts(
            requests=100,
            rows=100,
            features=tuple(tuple(int(n) for n in counts) for counts in encoded),
            predictions={"yes": yes, "no": 100 - yes},
        )
        labels[key] = Labels(100, int(rng.binomial(100, wrong if moved else 0.1)))
    return Recording(
        namespace="growth",
        model="churn",
        closed_through=first + 6 * minutes - 1,
        labels_closed_through=first + 6 * minutes - 1,
        windows=windows,
        labels=labels,
        profiles={"churn-a": PROFILE},
    )
