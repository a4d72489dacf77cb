"""A model's life in four acts, each on what the one before has left.

It is trained and served; a worse version is rolled back on evidence; a better one is promoted; the
world shifts in the middle of a canary, and the policy retrains instead of blaming the candidate.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hack.demo.world import tables
from tests.e2e.load import Load, cases
from tests.e2e.objects import (
    ACCURACY,
    ERRORS,
    LOGISTIC,
    TREE,
    canary,
    drift_policy,
    model,
    training,
    training_job,
)
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import clients, decided, decision, reached, serving, trained, uids
from tests.e2e.store import Store

MODEL, POLICY = "tumours", "clinic"
MINIMUM = 0.88
SETTLED_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Act:
    """The Model that all acts are about."""

    place: Place
    store: Store

    def train(self, version: str, key: str, estimator: dict[str, object]) -> str:
        """The revision that a TrainingJob's model becomes."""
        job = f"{MODEL}-{version}"
        self.place.apply(training_job(job, training(key, estimator), MODEL))
        return self.revision_of(job)

    def revision_of(self, job: str) -> str:
        digest = trained(self.place, job)["digest"]

        def find() -> str | None:
            found = self.place.all("controllerrevisions", f"tidegate.dev/model={MODEL}")
            named = (r["metadata"]["name"] for r in found if r["data"]["digest"] == digest)
            return next(named, None)

        return eventually(find, f"the revision of {job}")

    def gets_weight(self, revision: str) -> None:
        """Wait until the revision has a share of the requests."""
        reached(
            self.place,
            MODEL,
            lambda s: (
                s.candidate is not None
                and s.candidate.revision == revision
                and s.candidate.weight > 0
            ),
            f"a share for {revision}",
        )


@pytest.fixture(scope="module")
def act(store: Store, operator: object) -> Iterator[Act]:
    place = store.place
    delivery = canary(
        {"setWeight": 40},
        {"analysis": {}},
        {"setWeight": 80},
        {"pause": {"duration": "3s"}},
        metrics=(ERRORS, ACCURACY),
    )
    template = {"template": {"spec": training("fresh", LOGISTIC)}}
    monitoring = {"monitoring": {"driftPolicyRef": {"name": POLICY}}}
    place.apply(model(MODEL, {"fromTraining": {}}, delivery, training=template, **monitoring))
    yield Act(place, store)
    place.delete("driftpolicies", POLICY)
    place.delete("models", MODEL)


@pytest.fixture(scope="module")
def load(act: Act) -> Iterator[Load]:
    """Clients who come with the first act's model and stay through all acts."""
    serving(act.place, MODEL)
    with clients(act.place, MODEL, rate=100) as sending:
        yield sending


def test_first_model_is_trained_and_serves(act: Act) -> None:
    revision = act.train("v1", "first", TREE)

    assert serving(act.place, MODEL) == revision
    job = act.place.job(f"{MODEL}-v1").status
    assert job.output is not None
    assert job.lineage is not None
    status = act.place.model(MODEL).status
    assert status.stable is not None
    assert (status.stable.weight, status.stable.digest) == (100, job.output.digest)
    assert status.stable.training_job == f"{MODEL}-v1"
    assert set(job.lineage.inputs) == {"train"}
    assert job.lineage.seed == 42
    # The pod has checked the digest before the server saw the files.
    fetch = act.place.pods_of(revision)[0]["spec"]["initContainers"][0]
    assert f"--digest={job.output.digest}" in fetch["args"]


def test_worse_model_is_rolled_back_on_evidence(act: Act, load: Load) -> None:
    stable = serving(act.place, MODEL)
    pods = uids(act.place.pods_of(stable))
    worse = act.train("v2", "corrupted", TREE)

    taken = decided(act.place, MODEL, "RollBack", worse)

    assert taken.reason == "MetricBreached"
    accuracy = next(m for m in taken.metrics if m.name == "accuracy")
    assert accuracy.verdict == "Fail"
    assert float(accuracy.estimate or 0) < -0.03
    assert accuracy.lower is not None
    assert accuracy.samples > 0
    assert "accuracy" in taken.message
    gone = reached(act.place, MODEL, lambda s: s.candidate is None, "no candidate")
    assert [r.revision for r in gone.rejected] == [worse]
    eventually(lambda: not act.place.pods_of(worse), "the end of the worse pods")
    # The wish for it stands, and it is not tried again; stable's pods have seen nothing of it.
    after = act.place.model(MODEL).status
    assert after.candidate is None
    assert sum(d.revision == worse and d.action == "Start" for d in after.decisions) == 1
    assert uids(act.place.pods_of(stable)) == pods
    assert load.failures == []


def test_better_model_is_promoted_in_its_own_pods(act: Act, load: Load) -> None:
    before = serving(act.place, MODEL)
    better = act.train("v3", "all", LOGISTIC)
    act.gets_weight(better)
    pods = uids(act.place.pods_of(better))

    taken = decided(act.place, MODEL, "Promote", better)

    assert {m.verdict for m in taken.metrics} == {"Pass"}
    assert serving(act.place, MODEL) == better
    assert act.place.there("services", MODEL)["spec"]["selector"]["tidegate.dev/revision"] == better
    eventually(lambda: not act.place.pods_of(before), "the drain of the old pods")
    assert uids(act.place.pods_of(better)) == pods
    answered = eventually(lambda: load.answered_by(pods, time.time() - 2), "answers")
    assert answered
    assert load.failures == []


def test_shifted_world_is_answered_by_training_anew(act: Act, load: Load) -> None:
    place = act.place
    place.apply(
        drift_policy(
            POLICY,
            {
                "mode": "Enforce",
                "window": {"size": "30s", "minSamples": 200},
                "signals": [
                    {"name": "inputs", "type": "DataDrift", "breach": "0.3", "share": "0.2"},
                    {
                        "name": "accuracy",
                        "type": "Performance",
                        "min": str(MINIMUM),
                        "minLabelled": 150,
                    },
                ],
                "sustain": {"breaches": 1, "of": 1},
                "actions": [
                    {"when": {"signals": ["accuracy"], "level": "Breach"}, "do": "Retrain"},
                    {"when": {"signals": ["inputs"], "level": "Breach"}, "do": "Notify"},
                ],
                "retrain": {"cooldown": "30m", "maxPerWeek": 3},
            },
        )
    )
    good = act.train("v4", "all", LOGISTIC | {"parameters": {"C": 0.5}})
    act.gets_weight(good)

    act.store.put({"fresh": tables.fresh()})
    load.cases = cases(tables.recalibrated(tables.held_out()))
    shifted = time.time()

    levels = eventually(lambda: _breached(place), "drift and the lost accuracy")
    assert set(levels) == {"inputs", "accuracy"}
    retrained = eventually(lambda: _triggered(place), "a retraining")
    assert len(retrained) == 1
    newest = act.revision_of(retrained[0])
    during = load.accuracy(shifted + SETTLED_SECONDS)
    decided(place, MODEL, "Promote", newest)
    promoted = time.time()
    eventually(lambda: load.answered_by(uids(place.pods_of(newest)), promoted + 5) > 100, "v5")

    status = place.model(MODEL).status
    assert decision(status, "RollBack", good) is None, "the world's fault is not the candidate's"
    assert good not in {r.revision for r in status.rejected}
    assert serving(place, MODEL) == newest
    assert _triggered(place) == retrained, "one retraining, no more"
    assert during < MINIMUM < load.accuracy(promoted + 2)
    assert load.failures == []


def _breached(place: Place) -> tuple[str, ...]:
    """Both signals, once both are breached."""
    found = place.policy(POLICY).status.models
    levels = {s.name: s.level for m in found if m.name == MODEL for s in m.signals}
    breached = tuple(name for name, level in levels.items() if level == "Breach")
    return breached if len(breached) == 2 else ()


def _triggered(place: Place) -> list[str]:
    """The TrainingJobs that a policy has asked for."""
    return [
        job["metadata"]["name"]
        for job in place.all("trainingjobs")
        if "tidegate.dev/triggered-by" in job["metadata"].get("annotations", {})
    ]
