"""The sidecar's Prometheus metrics, made from the monitor's numbers when they are asked for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from tidegate.evidence.encode import MISSING, SPECIAL_BINS
from tidegate.evidence.latency import BINS, BINS_PER_DOUBLING, bin_upper_seconds
from tidegate.evidence.profile import Predictions
from tidegate.sidecar.monitor.answers import OTHER, VOCABULARY_LIMIT
from tidegate.sidecar.monitor.intake import Intake
from tidegate.sidecar.monitor.prediction_log.log import PredictionLog
from tidegate.sidecar.monitor.prediction_log.uploader import Uploader
from tidegate.sidecar.monitor.totals import Relayed, Totals

FEATURES_SHOWN = 50  # a series for each feature of a wide model would be a burden
SHARE_FLOOR = 1e-4  # an empty bin would make the index infinite
FIRST_BUCKET = 3 * BINS_PER_DOUBLING  # 0.8 ms; one bucket to each doubling from there on


class SidecarMetrics(Collector):
    """Reads the monitor's state at each scrape; nothing is counted twice to be shown."""

    def __init__(self, intake: Intake, uploader: Uploader | None) -> None:
        self._intake = intake
        self._uploader = uploader

    @override
    def collect(self) -> Iterable[Metric]:
        self._intake.tick()
        yield from self._traffic()
        yield from self._counters()
        if self._intake.totals.ends:
            yield from _completions(self._intake.totals)
        if self._intake.totals.relayed is not None:
            yield from _relayed(self._intake.totals.relayed)
        yield from self._routing()
        yield from self._drift()
        if self._intake.log is not None and self._uploader is not None:
            yield from _log(self._intake.log, self._uploader)

    def _traffic(self) -> Iterator[Metric]:
        totals = self._intake.totals
        requests = CounterMetricFamily(
            "tidegate_requests",
            "Predictions by the revision that answered or should have.",
            labels=["revision", "track", "code"],
        )
        for (revision, code), count in totals.requests.items():
            requests.add_metric([revision, self._intake.track(revision), code], count)
        yield requests
        duration = HistogramMetricFamily(
            "tidegate_request_duration_seconds",
            "Time from the first byte to the model until the first byte of its answer's content.",
            labels=["revision"],
        )
        for revision, bins in totals.latency.items():
            duration.add_metric([revision], *_histogram(bins))
        yield duration

    def _counters(self) -> Iterator[Metric]:
        totals, log = self._intake.totals, self._intake.log
        yield _labelled(
            "tidegate_unparsed", "Payloads that could not be counted.", "reason", totals.unparsed
        )
        yield _labelled(
            "tidegate_dropped",
            "Copies given up because the monitor was behind, and lines of the prediction log "
            "given up because the store was.",
            "queue",
            {"capture": totals.dropped, "log": log.lines_dropped if log else 0},
        )
        yield _labelled(
            "tidegate_feedback", "Labels by what became of them.", "result", totals.feedback
        )
        yield _labelled(
            "tidegate_pairs",
            "Shadow copies by what came of them.",
            "result",
            totals.pairs,
        )
        yield CounterMetricFamily("tidegate_rows", "Rows decoded.", value=totals.rows)
        yield CounterMetricFamily(
            "tidegate_windows_closed",
            "Windows that were closed.",
            value=self._intake.book.windows_closed,
        )

    def _routing(self) -> Iterator[Metric]:
        routing = self._intake.routing
        yield GaugeMetricFamily(
            "tidegate_routing_generation",
            "Generation of the routing document in force.",
            value=self._intake.generation,
        )
        weight = GaugeMetricFamily(
            "tidegate_weight", "Percent of the requests by revision.", labels=["revision"]
        )
        if routing is not None:
            candidate = routing.candidate
            share = candidate.weight if candidate else 0
            weight.add_metric([routing.stable], 100 - share)
            if candidate:
                weight.add_metric([candidate.revision], share)
        yield weight

    def _drift(self) -> Iterator[Metric]:
        drift = GaugeMetricFamily(
            "tidegate_feature_drift",
            "Distance of the last hour from the reference, the largest ones.",
            labels=["feature", "method"],
        )
        missing = GaugeMetricFamily(
            "tidegate_missing_ratio", "Share of rows without the feature.", labels=["feature"]
        )
        for name, distance, absent in self._features():
            drift.add_metric([name, "psi"], distance)
            missing.add_metric([name], absent)
        yield drift
        yield missing
        predictions = GaugeMetricFamily(
            "tidegate_prediction_drift",
            "Distance of the last hour's predictions from the reference (psi).",
        )
        shift = self._prediction_drift()
        if shift is not None:
            predictions.add_metric([], shift)
        yield predictions

    def _features(self) -> list[tuple[str, float, float]]:
        profile = self._intake.profile
        if profile is None:
            return []
        totals = self._intake.book.feature_totals(self._intake.revision)
        shown = []
        for feature, share, counts in zip(profile.features, profile.shares(), totals, strict=True):
            rows = int(counts.sum())
            if rows:
                absent = counts[len(counts) - SPECIAL_BINS + MISSING] / rows
                shown.append((feature.name, psi(counts / rows, share), float(absent)))
        return sorted(shown, key=lambda row: -row[1])[:FEATURES_SHOWN]

    def _prediction_drift(self) -> float | None:
        profile, routing = self._intake.profile, self._intake.routing
        if profile is None:
            return None
        reference = profile.predictions
        foreign = bool(routing and routing.prediction_edges not in ((), reference.edges))
        current = self._intake.book.prediction_totals(self._intake.revision)
        if not current or not reference.counts or (reference.kind == "number" and foreign):
            return None
        expected = _as_counted(reference)
        keys = sorted({*current, *expected})
        p = np.array([current.get(k, 0) for k in keys], dtype=np.float64)
        q = np.array([expected[k] for k in keys], dtype=np.float64)
        return psi(p / p.sum(), q / q.sum())


def _as_counted(reference: Predictions) -> Counter[str]:
    """The reference's rows by the keys that live ones are counted under: rare labels are one."""
    rare = set(reference.levels[VOCABULARY_LIMIT:])
    counts = Counter[str]()
    for key, rows in reference.counts.items():
        counts[OTHER if key in rare else key] += rows
    return counts


def _completions(totals: Totals) -> Iterator[Metric]:
    tokens = CounterMetricFamily(
        "tidegate_tokens", "Tokens, as answers tell them.", labels=["revision", "direction"]
    )
    for (revision, direction), count in totals.tokens.items():
        tokens.add_metric([revision, direction], count)
    yield tokens
    ends = CounterMetricFamily(
        "tidegate_completions", "Answers made of tokens.", labels=["revision", "finish_reason"]
    )
    for (revision, end), count in totals.ends.items():
        ends.add_metric([revision, end], count)
    yield ends
    first = HistogramMetricFamily(
        "tidegate_first_token_seconds",
        "Time until the first byte of a streamed answer's content.",
        labels=["revision"],
    )
    for revision, bins in totals.first_token.items():
        first.add_metric([revision], *_histogram(bins))
    yield first


def _relayed(relayed: Relayed) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "tidegate_connections_open", "Connections that are passed on unread.", value=relayed.open
    )
    yield _labelled(
        "tidegate_connections",
        "Connections that were to be passed on unread, by what became of them.",
        "result",
        relayed.results,
    )
    yield _labelled("tidegate_relayed_bytes", "Bytes passed on unread.", "direction", relayed.bytes)


def _log(log: PredictionLog, uploader: Uploader) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "tidegate_log_lines", "Lines of the prediction log that are stored.", value=uploader.stored
    )
    yield GaugeMetricFamily(
        "tidegate_log_pending_bytes", "What the store has not got yet.", value=log.parts.size
    )
    yield _labelled(
        "tidegate_log_failures",
        "Uploads that failed; they are tried again.",
        "reason",
        uploader.failures,
    )


def psi(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Population stability index in nats; the operator's is in `statistics`, which needs scipy."""
    a, b = np.maximum(p, SHARE_FLOOR), np.maximum(q, SHARE_FLOOR)
    return float(((a - b) * np.log(a / b)).sum())


def _labelled(name: str, text: str, label: str, counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([str(value)], count)
    return family


def _histogram(bins: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets, and the sum as the bins' upper bounds tell it (at most 9 % too high)."""
    buckets: list[tuple[str, float]] = []
    for last in range(FIRST_BUCKET - 1, BINS - 1, BINS_PER_DOUBLING):
        count = sum(n for index, n in bins.items() if index <= last)
        buckets.append((f"{bin_upper_seconds(last):.6g}", count))
    buckets.append(("+Inf", sum(bins.values())))
    return buckets, sum(bin_upper_seconds(index) * n for index, n in bins.items())
