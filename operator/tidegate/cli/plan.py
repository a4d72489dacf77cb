"""`plan`: what a rollout will take at the present traffic, before it is begun."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tidegate.api.meta import duration
from tidegate.api.v1alpha1.analysis import Metric
from tidegate.api.v1alpha1.model import Delivery
from tidegate.cli.answer import Answer, table
from tidegate.cli.words import roughly, span
from tidegate.errors import TerminalError
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import SLOT_SECONDS
from tidegate.rollout.analysis import metrics_of
from tidegate.rollout.machine import step_in_words, steps_of
from tidegate.rollout.power import (
    MOST_SLOTS,
    RUNS,
    Forecast,
    Traffic,
    measurable,
    soonest_pass,
    time_of_copies,
    time_to_detect,
    time_to_pass,
    traffic_of,
)
from tidegate.rollout.trackers import tolerance_in_words
from tidegate.rollout.verdict import PAIRED
from tidegate.rollout.words import count

NEWEST_SLOTS = 3600 // SLOT_SECONDS  # the present traffic is that of the last hour
AGREEING = 0.5  # of the tolerated disagreement: what a candidate that is to pass is taken for
NEVER = f"not in {span(timedelta(seconds=MOST_SLOTS * SLOT_SECONDS))}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned."""

    name: str
    delivery: Delivery
    traffic: Traffic
    sizes: tuple[float, ...]
    """Regressions to find, in tolerances of the metric."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What each metric needs at a weight, or of copies of so many requests."""

    percent: int
    is_copied: bool
    passing: dict[str, Forecast]
    finding: dict[str, list[Forecast]]
    """By size of the regression."""

    @property
    def slowest(self) -> float:
        """The slots until all metrics have passed, typically."""
        return max((f.quantile(0.5) for f in self.passing.values()), default=0.0)


def present_traffic(recording: Recording, stable: str | None) -> Traffic:
    """The traffic of the last hour that was recorded, as the stable revision answers it."""
    if recording.slots is None:
        message = (
            f"no requests of {recording.namespace}/{recording.model} are known: "
            "say how many there will be with --requests-per-second"
        )
        raise TerminalError("NoTraffic", message)
    first, last = recording.slots
    revision = stable or _busiest(recording)
    slots = range(max(first, last + 1 - NEWEST_SLOTS), last + 1)
    return traffic_of(recording.windows, recording.labels, revision, slots)


def planned(question: Question) -> Answer:
    """The steps with their times, and for each weight what each metric needs."""
    delivery, traffic = question.delivery, question.traffic
    steps, outlooks = steps_of(delivery), [*_of_copies(question), *_of_weights(question)]
    lines = [
        *_head(question),
        "",
        table(("STEP", "CANDIDATE GETS", "TYPICAL TIME"), _steps(question, outlooks)),
    ]
    for outlook in outlooks:
        lines += ["", *_shown(question, outlook)] if outlook.passing else []
    lacking = [
        f"{m.name}: {why}{_at_best(delivery, m)}"
        for m in metrics_of(delivery.analysis)
        if m.source != PAIRED and (why := measurable(m, traffic))
    ]
    if lacking:
        lines += ["", f"Not foretold: {'; '.join(lacking)}. Without samples a metric never passes."]
    if not steps:
        lines += ["", "There are no steps: a candidate is promoted as soon as its pods are ready."]
    return Answer(_data(question, outlooks, lacking), "\n".join(lines))


def _of_copies(question: Question) -> Iterator[Outlook]:
    """Of the shadow steps, in which nothing but copies is judged."""
    analysis, traffic = question.delivery.analysis, question.traffic
    paired = [m for m in metrics_of(analysis) if m.source == PAIRED]
    shares = [s.shadow.percent for s in steps_of(question.delivery) if s.shadow is not None]
    for percent in dict.fromkeys(shares):
        copies = traffic.requests * percent / 100
        passing = {m.name: time_of_copies(analysis, m, copies, AGREEING) for m in paired}
        finding = {
            m.name: [time_of_copies(analysis, m, copies, size) for size in question.sizes]
            for m in paired
        }
        yield Outlook(percent, is_copied=True, passing=passing, finding=finding)


def _of_weights(question: Question) -> Iterator[Outlook]:
    """Of the weights at which an analysis step waits for a Pass."""
    analysis, traffic = question.delivery.analysis, question.traffic
    measured = [m for m in metrics_of(analysis) if not measurable(m, traffic)]
    for weight in _weights_of_analyses(question.delivery):
        share = weight / 100
        finding = {
            m.name: [time_to_detect(analysis, m, traffic, share, size) for size in question.sizes]
            for m in measured
        }
        passing = time_to_pass(analysis, traffic, share)
        yield Outlook(weight, is_copied=False, passing=passing, finding=finding)


def _at_best(delivery: Delivery, metric: Metric) -> str:
    """What is sure all the same: values in a wide range can't be quick to tell a small change."""
    soonest = soonest_pass(delivery.analysis, metric)
    if math.isinf(soonest):
        return f", and its range is so wide for its tolerance that it passes nothing: {NEVER}"
    return f", but a Pass takes {_time(soonest * SLOT_SECONDS)} at least" if soonest else ""


def _busiest(recording: Recording) -> str:
    totals: dict[str, int] = {}
    for key, counts in recording.windows.items():
        totals[key.revision] = totals.get(key.revision, 0) + counts.requests
    return max(totals, key=lambda r: totals[r])


def _weights_of_analyses(delivery: Delivery) -> list[int]:
    """The weights at which an analysis step waits for a Pass."""
    weight, found = 0, []
    for step in steps_of(delivery):
        weight = step.set_weight or weight
        if step.analysis is not None and weight not in found:
            found.append(weight)
    return found


def _head(question: Question) -> Iterator[str]:
    traffic, analysis = question.traffic, question.delivery.analysis
    per_second = traffic.requests / SLOT_SECONDS
    labels = f", {traffic.labels:.1%} of them labelled" if traffic.labels else ""
    yield (
        f"{question.name}: {per_second:.3g} requests a second, {traffic.error_rate:.3%} errors"
        f"{labels}; alpha {analysis.alpha}, beta {analysis.beta}, at least "
        f"{count(analysis.min_samples)} samples."
    )
    yield f"From {RUNS} simulated rollouts a number, looked at as the operator does."


def _steps(question: Question, outlooks: Sequence[Outlook]) -> Iterator[Sequence[str]]:
    """A row for each step, and one for all; evidence is kept from step to step."""
    steps, analysis = steps_of(question.delivery), question.delivery.analysis
    slowest = {(o.is_copied, o.percent): o.slowest * SLOT_SECONDS for o in outlooks}
    compared = any(m.source != PAIRED for m in metrics_of(analysis))
    weight, analysed, total = 0, False, 0.0
    for index, step in enumerate(steps):
        weight = step.set_weight or weight
        seconds = 0.0
        if step.shadow is not None:
            copied = _per_second(question, step.shadow.percent)
            own = _seconds_for(step.shadow.min_samples, copied)
            seconds = max(own, slowest[True, step.shadow.percent])
        elif step.pause is not None:
            seconds = duration(step.pause.duration).total_seconds()
        elif step.analysis is not None and compared:
            own = _seconds_for(analysis.min_samples, _per_second(question, weight))
            first = slowest[False, weight] if not analysed else 0.0
            seconds, analysed = max(own, first), True
        total += seconds
        share = f"{weight} %, {_per_second(question, weight):.3g}/s" if weight else ""
        yield step_in_words(steps, index), share, _time(seconds) if seconds else ""
    yield "all, if all is well", "", _time(total)


def _shown(question: Question, outlook: Outlook) -> Iterator[str]:
    if outlook.is_copied:
        passes = f"PASSES {AGREEING:g}x"
        yield f"Copies of {outlook.percent} %: how many, time (nine of ten within)"
    else:
        passes = "PASSES A GOOD ONE"
        yield (
            f"At {outlook.percent} %, from nothing: requests of the candidate, time "
            "(nine of ten within)"
        )
    head = ("METRIC", "TOLERANCE", passes, *(f"FINDS {s:g}x" for s in question.sizes))
    rate = _per_second(question, outlook.percent)
    rows = [
        (
            m.name,
            tolerance_in_words(m),
            _cell(outlook.passing[m.name], rate),
            *(_cell(f, rate) for f in outlook.finding[m.name]),
        )
        for m in metrics_of(question.delivery.analysis)
        if m.name in outlook.passing
    ]
    yield table(head, rows)


def _cell(forecast: Forecast, per_second: float) -> str:
    typical, late = forecast.quantile(0.5), forecast.quantile(0.9)
    if math.isinf(typical):
        return NEVER
    requests = roughly(typical * SLOT_SECONDS * per_second)
    return f"{requests}, {_time(typical * SLOT_SECONDS)} ({_time(late * SLOT_SECONDS)})"


def _time(seconds: float) -> str:
    return NEVER if math.isinf(seconds) else span(timedelta(seconds=seconds))


def _per_second(question: Question, percent: int) -> float:
    return question.traffic.requests / SLOT_SECONDS * percent / 100


def _seconds_for(samples: int, per_second: float) -> float:
    return samples / per_second if per_second else math.inf


def _data(question: Question, outlooks: Sequence[Outlook], lacking: list[str]) -> dict[str, Any]:
    return {
        "model": question.name,
        "requestsPerSecond": question.traffic.requests / SLOT_SECONDS,
        "errorRate": question.traffic.error_rate,
        "copies": [
            {"percent": o.percent, "metrics": _metrics(question, o)}
            for o in outlooks
            if o.is_copied
        ],
        "weights": [
            {"weight": o.percent, "metrics": _metrics(question, o)}
            for o in outlooks
            if not o.is_copied
        ],
        "unmeasurable": lacking,
    }


def _metrics(question: Question, outlook: Outlook) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "secondsToPass": _seconds(forecast),
            "secondsToDetect": [
                {"tolerances": size, **_seconds(found)}
                for size, found in zip(question.sizes, outlook.finding[name], strict=True)
            ],
        }
        for name, forecast in outlook.passing.items()
    ]


def _seconds(forecast: Forecast) -> dict[str, float | None]:
    found = {"median": forecast.quantile(0.5), "nineOfTen": forecast.quantile(0.9)}
    return {k: v * SLOT_SECONDS if math.isfinite(v) else None for k, v in found.items()}
