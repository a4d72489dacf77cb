"""All rules on the same counts: for each rule by name, the slot of each run's rollback."""

from collections.abc import Callable

import numpy as np
from benchmarks.decisions import ours, rivals
from benchmarks.decisions.worlds import SCORE_BINS, Errors, Floats, Histograms

from tidegate.api.v1alpha1.analysis import Metric
from tidegate.evidence.latency import BINS, bin_upper_seconds

Verdicts = dict[str, Floats]
SUCCESS_BAR = 0.99  # Flagger's documented request-success-rate
SECONDS_BAR = 0.5  # Flagger's documented request-duration, at its p99
ERROR_METRICS = {
    "+0.5 points": ours.errors("0.005", relative=False),
    "+10 %": ours.errors("0.1", relative=True),
    "+1 %": ours.errors("0.01", relative=True),
}
PASS_METRICS = {
    "+0.5 points": ours.errors("0.005", relative=False),
    "+10 %": ours.errors("0.1", relative=True),
    "+50 %": ours.errors("0.5", relative=True),
}
LATENCY_METRICS = {"+25 %": ours.latency("0.25"), "+10 %": ours.latency("0.1")}
SHIFT_METRICS = {"0.1": ours.shift("0.1")}
UPPER_SECONDS = np.array([bin_upper_seconds(i) for i in range(BINS)])


def judge_errors_by_us(errors: Errors, session: int | None = None) -> Verdicts:
    return _ours(ERROR_METRICS, errors, session)


def passes_by_us(errors: Errors, tolerance: str, session: int | None = None) -> Verdicts:
    """When the candidate passes, instead of when it is rolled back."""
    return {tolerance: ours.passes(PASS_METRICS[tolerance], errors, session)}


def judge_errors(errors: Errors) -> Verdicts:
    candidate, stable = rivals.error_rates(errors)
    healthy = candidate <= 1 - SUCCESS_BAR  # False without requests, too
    return {
        **judge_errors_by_us(errors),
        "Flagger 99 %, threshold 5, ten steps": rivals.flagger(healthy, steps=10),
        "Flagger 99 %, threshold 5, half an hour": rivals.flagger(healthy),
        "Argo Rollouts ≥ 99 %, failureLimit 0": rivals.argo(healthy, 0),
        "Argo Rollouts ≥ 99 %, failureLimit 3": rivals.argo(healthy, 3),
        "Argo Rollouts ≥ 95 %, failureLimit 3": rivals.argo(candidate <= 0.05, 3),
        "Kayenta, every 5 minutes": rivals.kayenta(candidate, stable),
        **_at_both(lambda alpha: rivals.two_proportions(errors, alpha), "z-test, every slot"),
        **_at_both(
            lambda alpha: rivals.rank_test(candidate, stable, alpha),
            "Mann-Whitney of minutes, every minute",
        ),
    }


def judge_latencies(histograms: Histograms) -> Verdicts:
    candidate, stable = (
        rivals.quantiles(h, 0.99, UPPER_SECONDS) for h in (histograms.h1, histograms.h0)
    )
    return {
        **_ours(LATENCY_METRICS, histograms),
        "Flagger p99 < 500 ms, threshold 5, ten steps": rivals.flagger(
            candidate <= SECONDS_BAR, steps=10
        ),
        "Argo Rollouts p99 < 500 ms, failureLimit 3": rivals.argo(candidate <= SECONDS_BAR, 3),
        "Kayenta of p99, every 5 minutes": rivals.kayenta(candidate, stable),
        **_at_both(
            lambda alpha: rivals.rank_test(candidate, stable, alpha),
            "Mann-Whitney of p99, every minute",
        ),
        **_at_both(
            lambda alpha: rivals.rank_test_of_rows(
                histograms.h1, histograms.h0, alpha, two_sided=False
            ),
            "Mann-Whitney of requests, every slot",
        ),
    }


def judge_predictions(histograms: Histograms) -> Verdicts:
    of_training = np.full(SCORE_BINS, 1 / SCORE_BINS)
    beside = rivals.by_minute(histograms.h0)
    return {
        **_ours(SHIFT_METRICS, histograms),
        "PSI > 0.2 to training, a minute": rivals.psi_threshold(histograms.h1, of_training),
        "PSI > 0.2 to training, three minutes": rivals.psi_threshold(
            histograms.h1, of_training, in_a_row=3
        ),
        "PSI > 0.2 to stable, a minute": rivals.psi_threshold(histograms.h1, beside),
        **_at_both(
            lambda alpha: rivals.rank_test_of_rows(
                histograms.h1, histograms.h0, alpha, two_sided=True
            ),
            "Mann-Whitney of scores, every slot",
        ),
    }


def percent(alpha: str) -> str:
    return f"{float(alpha):.0%}".replace("%", " %")


def our_name(tolerance: str, alpha: str) -> str:
    return f"**Tidegate {tolerance}, {percent(alpha)}**"


def _ours(
    metrics: dict[str, Metric], data: Errors | Histograms, session: int | None = None
) -> Verdicts:
    """Tidegate at both alphas, for each tolerance."""
    return {
        our_name(tolerance, alpha): slots
        for tolerance, metric in metrics.items()
        for alpha, slots in ours.rollbacks(metric, data, session).items()
    }


def _at_both(rule: Callable[[float], Floats], name: str) -> Verdicts:
    return {f"{name}, {percent(alpha)}": rule(float(alpha)) for alpha in ours.ALPHAS}
