"""The analysis: windows in, verdicts out, in any grouping and over any number of restarts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.api.v1alpha1.analysis import Analysis, Metric
from tidegate.api.v1alpha1.model_status import MetricStatus
from tidegate.errors import TerminalError
from tidegate.evidence.latency import latency_bin
from tidegate.evidence.windows import UNDRAWN, BlockKey, Counts, Labels
from tidegate.rollout.analysis import Arms, Evidence, Weighed, start, weigh

ARMS = Arms("m-old", "m-new")
ANALYSIS = Analysis(
    metrics=(
        Metric(
            name="errors", source="ErrorRate", max_absolute_increase="0.01", on_breach="Rollback"
        ),
        Metric(
            name="latency",
            source="LatencyQuantile",
            quantile="0.9",
            max_relative_increase="0.25",
            on_breach="Rollback",
        ),
        Metric(name="shift", source="PredictionShift", max_distance="0.2", on_breach="Hold"),
        Metric(
            name="accuracy",
            source="LabelledAccuracy",
            max_absolute_drop="0.05",
            on_breach="Rollback",
        ),
    )
)


@dataclass(frozen=True)
class World:
    """How the arms behave: candidate first where two values are given."""

    requests: int = 600
    share: float = 0.2
    errors: tuple[float, float] = (0.004, 0.004)
    slower: float = 1.0
    positive: tuple[float, float] = (0.4, 0.4)
    wrong: tuple[float, float] = (0.06, 0.06)


def arm(rng: np.random.Generator, n: int, error: float, slower: float, positive: float) -> Counts:
    failed = int(rng.binomial(n, error))
    yes = int(rng.binomial(n - failed, positive))
    seconds = rng.lognormal(np.log(0.02), 0.4, n) * slower
    latency: dict[str, int] = {}
    for value in seconds:
        key = str(latency_bin(float(value)))
        latency[key] = latency.get(key, 0) + 1
    return Counts(
        requests=n,
        errors={"5xx": failed} if failed else {},
        latency=latency,
        rows=n - failed,
        predictions={"1": yes, "0": n - failed - yes},
    )


def simulate(world: World, slots: int, seed: int, first: int = 1) -> Evidence:
    rng = np.random.default_rng(seed)
    windows: dict[BlockKey, Counts] = {}
    labels: dict[BlockKey, Labels] = {}
    for slot in range(first, first + slots):
        n1 = int(rng.binomial(world.requests, world.share))
        sizes = (n1, world.requests - n1)
        for i, revision in enumerate((ARMS.candidate, ARMS.stable)):
            key = BlockKey(slot, 7, revision)
            slower = world.slower if i == 0 else 1.0
            windows[key] = arm(rng, sizes[i], world.errors[i], slower, world.positive[i])
            labels[key] = Labels(sizes[i], int(rng.binomial(sizes[i], world.wrong[i])))
    return Evidence(windows, labels, first + slots - 1, first + slots - 1)


def verdicts(weighed: Weighed) -> dict[str, str]:
    return {r.name: r.verdict for r in weighed.results}


def result(weighed: Weighed, name: str) -> MetricStatus:
    return next(r for r in weighed.results if r.name == name)


def test_a_candidate_like_stable_passes() -> None:
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(World(), 30, seed=1))
    assert set(verdicts(seen).values()) == {"Pass"}
    assert result(seen, "errors").samples > 3000


@pytest.mark.parametrize(
    ("world", "culprit"),
    [
        (World(errors=(0.04, 0.004)), "errors"),
        (World(slower=1.6), "latency"),
        (World(wrong=(0.25, 0.06)), "accuracy"),
    ],
)
def test_a_worse_candidate_fails_by_the_metric_that_is_worse(world: World, culprit: str) -> None:
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(world, 12, seed=2))
    assert verdicts(seen)[culprit] == "Fail"
    assert [n for n, v in verdicts(seen).items() if v == "Fail"] == [culprit]


def test_the_estimate_is_in_the_users_unit() -> None:
    seen = weigh(
        ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(World(wrong=(0.25, 0.06)), 12, seed=3)
    )
    accuracy = result(seen, "accuracy")
    assert accuracy.estimate is not None
    assert accuracy.lower is not None
    assert accuracy.upper is not None
    assert float(accuracy.lower) < float(accuracy.estimate) < float(accuracy.upper) < 0
    assert float(accuracy.estimate) == pytest.approx(-0.19, abs=0.06)


def test_the_latency_is_told_as_a_share_with_an_interval() -> None:
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(World(slower=1.2), 30, seed=31))
    latency = result(seen, "latency")
    assert latency.estimate is not None
    assert latency.lower is not None
    assert latency.upper is not None
    assert float(latency.estimate) == pytest.approx(0.2, abs=0.07)
    assert 0 < float(latency.lower) < float(latency.estimate) < float(latency.upper) < 0.6


def test_what_both_arms_suffer_is_nobodys_fault() -> None:
    storm = World(errors=(0.2, 0.2), wrong=(0.4, 0.4))
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(storm, 30, seed=4))
    assert "Fail" not in verdicts(seen).values()


def test_diverging_predictions_fail_without_ending_the_analysis() -> None:
    seen = weigh(
        ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(World(positive=(0.9, 0.4)), 20, seed=5)
    )
    assert verdicts(seen)["shift"] == "Fail"
    later = weigh(
        ANALYSIS, seen.cursor, ARMS, simulate(World(positive=(0.9, 0.4)), 10, seed=6, first=21)
    )
    assert result(later, "errors").samples > result(seen, "errors").samples


def test_a_shift_that_labels_overrule_does_not_end_the_analysis() -> None:
    """A breach that rolls nothing back must not stop the other metrics from being watched."""
    metrics = tuple(m.model_copy(update={"on_breach": "Rollback"}) for m in ANALYSIS.metrics or ())
    strict = ANALYSIS.model_copy(update={"metrics": metrics})
    calm = simulate(World(), 30, seed=12)
    seen = weigh(strict, start(strict, 0), ARMS, calm)
    shifted = simulate(World(positive=(0.9, 0.4)), 20, seed=13, first=31)
    seen = weigh(strict, seen.cursor, ARMS, shifted)
    assert verdicts(seen)["accuracy"] == "Pass"
    failing = simulate(World(errors=(0.5, 0.004)), 20, seed=14, first=51)
    assert verdicts(weigh(strict, seen.cursor, ARMS, failing))["errors"] == "Fail"


@pytest.mark.parametrize(
    "edited",
    [
        Metric(
            name="errors", source="ErrorRate", max_relative_increase="0.5", on_breach="Rollback"
        ),
        Metric(name="errors", source="PredictionShift", max_distance="0.3", on_breach="Hold"),
        Metric(
            name="errors", source="ErrorRate", max_absolute_increase="0.2", on_breach="Rollback"
        ),
    ],
)
def test_a_metric_that_was_edited_begins_anew(edited: Metric) -> None:
    worse = simulate(World(errors=(0.02, 0.004)), 5, seed=15)
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, worse)
    others = tuple(m for m in ANALYSIS.metrics or () if m.name != "errors")
    changed = ANALYSIS.model_copy(update={"metrics": (edited, *others)})
    more = simulate(World(), 3, seed=16, first=6)
    later = weigh(changed, seen.cursor, ARMS, more)
    assert result(later, "errors").samples < result(seen, "errors").samples
    assert result(later, "accuracy").samples > result(seen, "accuracy").samples


def test_a_tolerance_that_no_test_can_have_is_told_by_name() -> None:
    absurd = Metric(
        name="errors", source="ErrorRate", max_absolute_increase="1.5", on_breach="Rollback"
    )
    with pytest.raises(TerminalError, match=r"metrics, errors: .*1\.5"):
        start(ANALYSIS.model_copy(update={"metrics": (absurd,)}), 0)


def test_what_a_breach_leads_to_may_change_without_forgetting_the_evidence() -> None:
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(World(), 5, seed=17))
    metrics = tuple(m.model_copy(update={"on_breach": "Hold"}) for m in ANALYSIS.metrics or ())
    changed = ANALYSIS.model_copy(update={"metrics": metrics})
    later = weigh(changed, seen.cursor, ARMS, Evidence({}, {}, 5, 5))
    assert result(later, "errors").samples == result(seen, "errors").samples


def test_silence_proves_nothing() -> None:
    empty = Evidence({}, {}, 500, 500)
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, empty)
    assert set(verdicts(seen).values()) == {"Inconclusive"}
    assert seen.slot == 500


def test_requests_that_were_not_drawn_are_no_evidence() -> None:
    """Testers whom a rule sends to the candidate may be as unhappy as they like."""
    fair = simulate(World(), 30, seed=18)
    unhappy = simulate(World(errors=(0.9, 0.0), wrong=(0.9, 0.0)), 30, seed=19)
    windows = {k._replace(generation=UNDRAWN): c for k, c in unhappy.windows.items()}
    labels = {k._replace(generation=UNDRAWN): n for k, n in unhappy.labels.items()}
    both = Evidence({**fair.windows, **windows}, {**fair.labels, **labels}, 30, 30)
    cursor = start(ANALYSIS, 0)
    assert weigh(ANALYSIS, cursor, ARMS, both) == weigh(ANALYSIS, cursor, ARMS, fair)


AGREEMENT = Metric(
    name="agreement", source="PairedDisagreement", max_rate="0.1", on_breach="Rollback"
)
SHADOWED = ANALYSIS.model_copy(update={"metrics": (*(ANALYSIS.metrics or ()), AGREEMENT)})


def copies(rate: float, slots: int, seed: int, *, failed: float = 0.0) -> Evidence:
    """Stable serves everything; the candidate answers fifty copies a slot."""
    rng = np.random.default_rng(seed)
    windows: dict[BlockKey, Counts] = {}
    for slot in range(1, slots + 1):
        differed, gone = int(rng.binomial(50, rate)), int(rng.binomial(50, failed))
        pairs = {"agreed": 50 - differed, "differed": differed, "failed": gone, "dropped": 7}
        windows[BlockKey(slot, 7, ARMS.candidate)] = Counts(pairs=pairs)
        windows[BlockKey(slot, 7, ARMS.stable)] = arm(rng, 600, 0.004, 1.0, 0.4)
    return Evidence(windows, {}, slots, slots)


@pytest.mark.parametrize(
    ("seen", "want"),
    [
        pytest.param(copies(0.03, 20, seed=31), "Pass", id="agrees"),
        pytest.param(copies(0.3, 20, seed=32), "Fail", id="differs"),
        pytest.param(copies(0.0, 20, seed=33, failed=0.3), "Fail", id="fails: another answer"),
        pytest.param(copies(0.1, 20, seed=34), "Inconclusive", id="at the tolerance"),
        pytest.param(copies(0.0, 2, seed=35), "Inconclusive", id="too few"),
    ],
)
def test_copies_are_judged_by_pairs(seen: Evidence, want: str) -> None:
    weighed = weigh(SHADOWED, start(SHADOWED, 0), ARMS, seen)
    assert verdicts(weighed)["agreement"] == want
    pairs = result(weighed, "agreement")
    counted = [sum(c.pairs.values()) - c.pairs["dropped"] for c in seen.windows.values() if c.pairs]
    assert pairs.samples in (sum(counted[: n + 1]) for n in range(len(counted)))
    assert want == "Fail" or pairs.samples == sum(counted), "a breach ends the analysis"
    assert pairs.estimate is not None
    assert pairs.lower is not None
    assert pairs.upper is not None
    assert 0 <= float(pairs.lower) <= float(pairs.estimate) <= float(pairs.upper) < 0.6


def test_copies_are_no_requests_of_the_candidate() -> None:
    weighed = weigh(SHADOWED, start(SHADOWED, 0), ARMS, copies(0.3, 20, seed=36, failed=0.5))
    for name in ("errors", "latency", "shift", "accuracy"):
        of = result(weighed, name)
        assert (of.verdict, of.samples, of.stable_samples) == ("Inconclusive", 0, 0)


def test_pairs_survive_a_restart_and_the_steps_that_follow() -> None:
    early, late = copies(0.03, 10, seed=37), simulate(World(), 30, seed=38, first=11)
    halfway = weigh(SHADOWED, start(SHADOWED, 0), ARMS, early)
    both = Evidence({**early.windows, **late.windows}, late.labels, 40, 40)
    gone_on = weigh(SHADOWED, halfway.cursor, ARMS, both)
    assert gone_on.cursor == weigh(SHADOWED, start(SHADOWED, 0), ARMS, both).cursor
    assert set(verdicts(gone_on).values()) == {"Pass"}


def in_sessions(bound: int | None, *names: str) -> Analysis:
    metrics = tuple(m for m in ANALYSIS.metrics or () if not names or m.name in names)
    return ANALYSIS.model_copy(update={"max_requests_per_session": bound, "metrics": metrics})


def lasting_sessions(seed: int, slots: int = 60, users: int = 300) -> Evidence:
    """Both arms are alike; one user in fifty fails with all of his twenty requests.

    He sends two of them in each of ten slots, so that no slot by itself shows a cluster.
    """
    rng = np.random.default_rng(seed)
    on_candidate, unhappy = rng.random(users) < 0.2, rng.random(users) < 0.02
    windows: dict[BlockKey, Counts] = {}
    for slot in range(1, slots + 1):
        for revision, there in ((ARMS.candidate, on_candidate), (ARMS.stable, ~on_candidate)):
            counts = Counts(2 * int(there.sum()), {"5xx": 2 * int((there & unhappy).sum())})
            windows[BlockKey(slot, 7, revision)] = counts
        leave = slice(slot % 10, None, 10)  # every tenth user gives way to a new one
        fresh = on_candidate[leave].size
        on_candidate[leave], unhappy[leave] = rng.random(fresh) < 0.2, rng.random(fresh) < 0.02
    return Evidence(windows, {}, slots, None)


def test_sessions_that_fail_as_a_whole_roll_no_good_candidate_back() -> None:
    def rolled_back(analysis: Analysis) -> int:
        looks = (
            weigh(analysis, start(analysis, 0), ARMS, lasting_sessions(seed)) for seed in range(40)
        )
        return sum("Fail" in verdicts(w).values() for w in looks)

    assert rolled_back(in_sessions(None, "errors")) > 4, "what is measured here is a real trap"
    assert rolled_back(in_sessions(20, "errors")) == 0


def test_sessions_cost_evidence_and_hide_no_harm() -> None:
    worse = simulate(World(errors=(0.1, 0.004)), 60, seed=20)
    alone, together = (in_sessions(n, "errors") for n in (None, 20))
    cursors = [start(a, 0) for a in (alone, together)]
    early = Evidence(worse.windows, {}, 4, None)
    assert verdicts(weigh(alone, cursors[0], ARMS, early)) == {"errors": "Fail"}
    assert verdicts(weigh(together, cursors[1], ARMS, early)) == {"errors": "Inconclusive"}
    assert verdicts(weigh(together, cursors[1], ARMS, worse)) == {"errors": "Fail"}


def test_every_metric_knows_of_sessions_and_begins_anew_when_their_bound_is_edited() -> None:
    seen = weigh(in_sessions(4), start(in_sessions(4), 0), ARMS, simulate(World(), 5, seed=21))
    more = simulate(World(), 3, seed=22, first=6)
    same = weigh(in_sessions(4), seen.cursor, ARMS, more)
    edited = weigh(in_sessions(8), seen.cursor, ARMS, more)
    for name in ("errors", "latency", "shift", "accuracy"):
        assert result(edited, name).samples < result(seen, name).samples
        assert result(same, name).samples > result(seen, name).samples
    proof = [
        float(result(weigh(a, start(a, 0), ARMS, simulate(World(), 8, seed=23)), "errors").safety)
        for a in (in_sessions(1), in_sessions(4))
    ]
    assert proof[0] > proof[1]


def test_slots_that_are_not_closed_are_not_used() -> None:
    full = simulate(World(), 10, seed=7)
    open_ = Evidence(full.windows, full.labels, None, None)
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, open_)
    assert result(seen, "errors").samples == 0


def test_a_breach_is_final_and_stops_the_analysis() -> None:
    bad = simulate(World(errors=(0.1, 0.004)), 12, seed=8)
    failed = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, bad)
    healed = simulate(World(errors=(0.0, 0.004)), 100, seed=9, first=13)
    later = weigh(ANALYSIS, failed.cursor, ARMS, healed)
    assert verdicts(later)["errors"] == "Fail"
    assert result(later, "errors").samples == result(failed, "errors").samples


def only(windows: Mapping[BlockKey, Counts], slots: range) -> dict[BlockKey, Counts]:
    return {k: c for k, c in windows.items() if k.slot in slots}


@given(looks=st.lists(st.integers(1, 19), max_size=6))
@settings(max_examples=25, deadline=None)
def test_looking_often_or_restarting_changes_nothing(looks: list[int]) -> None:
    whole = simulate(World(errors=(0.012, 0.004)), 20, seed=10)
    at_once = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, Evidence(whole.windows, {}, 20, None))
    cursor = start(ANALYSIS, 0)
    for through in [*sorted(looks), 20]:
        # Each look gets everything from the beginning, as after a restart: nothing counts twice.
        cursor = weigh(ANALYSIS, cursor, ARMS, Evidence(whole.windows, {}, through, None)).cursor
    assert cursor == at_once.cursor


def test_a_cursor_is_small_enough_for_a_status() -> None:
    seen = weigh(ANALYSIS, start(ANALYSIS, 0), ARMS, simulate(World(), 60, seed=11))
    assert len(seen.cursor) < 12_000


def test_200_good_candidates_are_rolled_back_no_more_often_than_alpha() -> None:
    """A/A canaries in a world of incidents and ramps; each slot is looked at as it is folded.

    alpha is 5 %, so 10 of 200 are expected at the most; the bound on what is really done is lower.
    """
    guarded = tuple(m for m in ANALYSIS.metrics or () if m.on_breach == "Rollback")
    analysis = ANALYSIS.model_copy(update={"alpha": "0.05", "metrics": guarded})
    rng = np.random.default_rng(2026)
    rolled_back = 0
    for _ in range(200):
        windows: dict[BlockKey, Counts] = {}
        labels: dict[BlockKey, Labels] = {}
        level = 0.01
        for slot in range(1, 31):
            level = float(np.clip(level * rng.lognormal(0, 0.4), 0.001, 0.3))
            share = (0.01, 0.05, 0.1, 0.25, 0.5)[slot // 7]
            wrong = min(level + 0.05, 1.0)
            world = World(200, share, errors=(level, level), wrong=(wrong, wrong))
            evidence = simulate_quickly(world, slot, rng)
            windows |= evidence.windows
            labels |= evidence.labels
        seen = weigh(analysis, start(analysis, 0), ARMS, Evidence(windows, labels, 30, 30))
        rolled_back += "Fail" in {r.verdict for r in seen.results}
    assert rolled_back <= 10


def simulate_quickly(world: World, slot: int, rng: np.random.Generator) -> Evidence:
    """One slot; latencies drawn as a histogram of a few bins."""
    windows: dict[BlockKey, Counts] = {}
    labels: dict[BlockKey, Labels] = {}
    n1 = int(rng.binomial(world.requests, world.share))
    for i, (revision, n) in enumerate(((ARMS.candidate, n1), (ARMS.stable, world.requests - n1))):
        key = BlockKey(slot, 7, revision)
        failed, yes = int(rng.binomial(n, world.errors[i])), int(rng.binomial(n, 0.4))
        bins = rng.multinomial(n, (0.1, 0.2, 0.4, 0.2, 0.05, 0.05))
        windows[key] = Counts(
            requests=n,
            errors={"5xx": failed},
            latency={str(60 + b): int(c) for b, c in enumerate(bins)},
            rows=n,
            predictions={"1": yes, "0": n - yes},
        )
        labels[key] = Labels(n, int(rng.binomial(n, world.wrong[i])))
    return Evidence(windows, labels, slot, slot)
