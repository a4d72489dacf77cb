"""For each CEL rule an object that keeps it and one that breaks it, told apart by its message."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.integration.apiserver import Manifest
from tests.integration.crds.samples import ABSENT, SAMPLES, edited, inside

Edits = dict[str, Any]


def rules_of(crd: Manifest) -> Iterator[str]:
    """The messages of all rules of a CRD."""
    for path, value in inside(crd["spec"]):
        if path[-1] == "x-kubernetes-validations":
            yield from (rule["message"] for rule in value)


@dataclass(frozen=True, slots=True)
class Pair:
    """Edits of a sample that keep a rule, and that break it."""

    sample: str
    refused: Edits
    accepted: Edits = field(default_factory=dict)
    is_update: bool = False
    """The rule compares with what was there before: the sample itself."""

    def manifest(self, edits: Edits, namespace: str) -> Manifest:
        return edited(SAMPLES[self.sample], {"metadata.namespace": namespace} | edits)


DIGEST = f"sha256:{'0' * 64}"
LABEL = "metadata.name must have at most 63 characters: it becomes the value of a label"
STEPS = "spec.delivery.strategy.canary.steps"
METRICS = "spec.delivery.analysis.metrics"
ERRORS, LATENCY, PREDICTIONS, ACCURACY, AGREEMENT, CONVERSION, LENGTH = (
    f"{METRICS}.{n}" for n in range(7)
)
AGREED = {"name": "a", "source": "PairedDisagreement", "maxRate": "0.1", "onBreach": "Hold"}
SHADOW = {"shadow": {"percent": 5, "minSamples": 300}}
CHECKS = "spec.data.validation.rules"
ROWS, MISSING, RANGE, ALLOWED, UNIQUE, BALANCE = (f"{CHECKS}.{n}" for n in range(6))
SIGNALS = "spec.signals"
HOURLY = {"seasonality": "HourOfDay"}
INPUTS, SCORES, PERFORMANCE, QUALITY, TOGETHER = (f"{SIGNALS}.{n}" for n in range(5))

SIDECAR = "spec.serving.sidecar"
PROTOCOL, GRPC = "spec.serving.protocol", "with serving.protocol GRPC"
LOG = {"uri": "s3://logs/churn/", "credentialsRef": {"name": "s3-write"}}
UNWATCHED: Edits = {
    f"{SIDECAR}": {"capture": {"mode": "Off"}},
    "spec.monitoring": {},
    METRICS: [
        {"name": "e", "source": "ErrorRate", "maxAbsoluteIncrease": "0.01", "onBreach": "Hold"},
        AGREED,
    ],
}

MODEL = {
    "metadata.name becomes a Service's: at most 63 of a-z, 0-9 and -, the first a letter": Pair(
        "model-minimal", {"metadata.name": "churn.v2"}, {"metadata.name": "c" * 63}
    ),
    "artifact takes exactly one of uri and fromTraining": Pair(
        "model-minimal", {"spec.artifact.fromTraining": {}}
    ),
    "artifact.digest goes with artifact.uri: pin what is served by its digest": Pair(
        "model-minimal", {"spec.artifact.digest": ABSENT}
    ),
    "artifact.format Joblib runs code when it is loaded: "
    "set artifact.allowUnsafe to accept it": Pair(
        "model-immediate", {"spec.artifact.allowUnsafe": False}
    ),
    "a step has exactly one of shadow, setWeight, pause and analysis": Pair(
        "model-full", {f"{STEPS}.2.setWeight": 7}, {f"{STEPS}.2": {"setWeight": 7}}
    ),
    "canary.steps must begin with shadow or setWeight": Pair(
        "model-full", {f"{STEPS}.0": {"pause": {"duration": "1m"}}, f"{STEPS}.4": SHADOW}
    ),
    "canary.steps[].analysis needs a setWeight before it: until then the candidate has no requests "
    "to compare": Pair("model-full", {f"{STEPS}.1": {"analysis": {}}}),
    "canary.steps[].setWeight must rise from step to step": Pair(
        "model-full", {f"{STEPS}.3.setWeight": 5}, {f"{STEPS}.3.setWeight": 6}
    ),
    "a shadow step and a metric of source PairedDisagreement need each other: one makes the "
    "copies, the other judges them": Pair(
        "model-full", {f"{STEPS}.0": {"setWeight": 1}}, {f"{STEPS}.2": SHADOW}
    ),
    "canary.steps[].analysis needs a metric of another source than PairedDisagreement: that one "
    "has been decided by the shadow step": Pair(
        "model-full",
        {METRICS: [AGREED]},
        {METRICS: [AGREED], STEPS: [SHADOW, {"setWeight": 5}]},
    ),
    "strategy takes one of canary and immediate": Pair(
        "model-immediate", {"spec.delivery.strategy.canary": {"steps": [{"setWeight": 5}]}}
    ),
    "canary.sticky needs analysis.maxRequestsPerSession: the requests of a session stand or fall "
    "together, and must not count as independent ones": Pair(
        "model-full", {"spec.delivery.analysis.maxRequestsPerSession": ABSENT}
    ),
    "ErrorRate takes exactly one of maxAbsoluteIncrease and maxRelativeIncrease": Pair(
        "model-full", {f"{ERRORS}.maxRelativeIncrease": "0.1"}
    ),
    "LatencyQuantile takes quantile and maxRelativeIncrease": Pair(
        "model-full", {f"{LATENCY}.quantile": ABSENT}
    ),
    "PredictionShift takes maxDistance": Pair("model-full", {f"{PREDICTIONS}.maxDistance": ABSENT}),
    "LabelledAccuracy takes maxAbsoluteDrop": Pair(
        "model-full", {f"{ACCURACY}.maxAbsoluteDrop": ABSENT}
    ),
    "PairedDisagreement takes maxRate": Pair("model-full", {f"{AGREEMENT}.maxRate": ABSENT}),
    "Prometheus takes query, range and exactly one of maxAbsoluteIncrease, maxRelativeIncrease, "
    "maxAbsoluteDrop and maxRelativeDrop": Pair(
        "model-full",
        {f"{CONVERSION}.maxAbsoluteDrop": "0.01"},
        {f"{CONVERSION}.maxRelativeDrop": ABSENT, f"{CONVERSION}.maxAbsoluteDrop": "0.01"},
    ),
    "a metric takes only the tolerance of its source: remove the other fields": Pair(
        "model-full", {f"{ACCURACY}.window": "1m"}
    ),
    "a tolerance must be larger than 0: no number of samples proves that nothing changed": Pair(
        "model-full",
        {f"{ACCURACY}.maxAbsoluteDrop": "0.0"},
        {f"{ACCURACY}.maxAbsoluteDrop": "0.001"},
    ),
    "maxDistance must be smaller than 0.83: no two distributions are further apart": Pair(
        "model-full",
        {f"{PREDICTIONS}.maxDistance": "0.83"},
        {f"{PREDICTIONS}.maxDistance": "0.829"},
    ),
    "maxAbsoluteIncrease, maxAbsoluteDrop and maxRate must be smaller than 1: they are shares of "
    "all requests, not percentages": Pair(
        "model-full", {f"{AGREEMENT}.maxRate": "1"}, {f"{ACCURACY}.maxAbsoluteDrop": "0.999"}
    ),
    "quantile must be between 0.5 and 0.999": Pair(
        "model-full", {f"{LATENCY}.quantile": "0.9999"}, {f"{LATENCY}.quantile": "0.5"}
    ),
    "LatencyQuantile's maxRelativeIncrease must be at least 0.1: below that, a slower node "
    "would roll back good models": Pair(
        "model-full",
        {f"{LATENCY}.maxRelativeIncrease": "0.09"},
        {f"{LATENCY}.maxRelativeIncrease": "0.1"},
    ),
    "query must say {{revision}} where the revision's name belongs: it is asked once for each of "
    "the two": Pair("model-full", {f"{CONVERSION}.query": "avg(conversion)"}),
    "query takes {{revision}}, {{namespace}} and {{window}}; nothing else is filled in": Pair(
        "model-full",
        {f"{CONVERSION}.query": 'x{revision="{{revision}}", model="{{model}}"}'},
        {f"{CONVERSION}.query": 'x{revision="{{revision}}", namespace="{{namespace}}"}'},
    ),
    "query must say [{{window}}] in place of a length of time: values that share requests are no "
    "independent evidence": Pair(
        "model-full",
        {f"{CONVERSION}.query": 'sum(rate(x{revision="{{revision}}"}[5m]))'},
        {f"{CONVERSION}.query": 'sum(rate(x{r="{{revision}}", c=~"[45].."}[{{window}}]))'},
    ),
    "window must be a multiple of 10s, at most 15m, such as 30s or 2m": Pair(
        "model-full", {f"{CONVERSION}.window": "45s"}, {f"{CONVERSION}.window": "1m30s"}
    ),
    "range.min must be smaller than range.max": Pair(
        "model-full", {f"{LENGTH}.range.min": "2000"}, {f"{LENGTH}.range.min": "-2000"}
    ),
    "the tolerance must be smaller than the range: no value could ever break it": Pair(
        "model-full",
        {f"{LENGTH}.maxAbsoluteIncrease": "2000"},
        {f"{LENGTH}.maxAbsoluteIncrease": "1999"},
    ),
    "a relative tolerance needs a range.min of at least 0: a share of a negative value means "
    "nothing": Pair(
        "model-full", {f"{CONVERSION}.range.min": "-0.1"}, {f"{CONVERSION}.range.min": "0.01"}
    ),
    "capture.samplePercent is for capture.mode Sample": Pair(
        "model-full",
        {f"{SIDECAR}.capture.mode": "All"},
        {f"{SIDECAR}.capture": {"mode": "All", "samplePercent": 100}},
    ),
    "log.uri must end in /": Pair("model-full", {f"{SIDECAR}.log.uri": "s3://logs/churn"}),
    "log.redact and log.hashed: a feature is left out or hashed, not both": Pair(
        "model-full", {f"{SIDECAR}.log.hashed": ["name"]}, {f"{SIDECAR}.log.hashed": ["names"]}
    ),
    "sidecar.log needs copies of requests: set sidecar.capture.mode to All or Sample": Pair(
        "model-minimal",
        {f"{SIDECAR}.capture.mode": "Off", f"{SIDECAR}.log": LOG},
        {f"{SIDECAR}.log": LOG},
    ),
    "with serving.sidecar.capture.mode Off there are only metrics of source ErrorRate, "
    "LatencyQuantile, PairedDisagreement and Prometheus: nothing else is counted": Pair(
        "model-full",
        UNWATCHED | {METRICS: SAMPLES["model-full"]["spec"]["delivery"]["analysis"]["metrics"]},
        UNWATCHED,
    ),
    "monitoring.driftPolicyRef needs copies of requests: set serving.sidecar.capture.mode to "
    "All or Sample": Pair(
        "model-full", UNWATCHED | {"spec.monitoring.driftPolicyRef": {"name": "p"}}, UNWATCHED
    ),
    "serving.protocol can't be changed, because clients speak one of them: create another "
    "Model": Pair("model-grpc", {"spec.serving": {}}, {PROTOCOL: "GRPC"}, is_update=True),
    f"{GRPC} set delivery.strategy to {{immediate: {{}}}}: connections are passed on as bytes, so "
    "that no request can be given a weight, matched, kept with its session, copied or "
    "compared": Pair("model-minimal", {PROTOCOL: "GRPC"}, {PROTOCOL: "HTTP"}),
    f"{GRPC} leave out delivery.analysis: no request is counted, so that nothing can be "
    "compared": Pair(
        "model-grpc",
        {"spec.delivery.analysis": {"metrics": []}},
        {"spec.delivery.analysis": {"minSamples": 300}},
    ),
    f"{GRPC} leave out serving.sidecar.capture: connections are passed on as bytes, and no "
    "request is copied": Pair(
        "model-grpc",
        {f"{SIDECAR}.capture": {"mode": "Sample", "samplePercent": 5}},
        {f"{SIDECAR}.capture": {"mode": "Off"}},
    ),
    f"{GRPC} leave out serving.sidecar.log: no prediction is read that could be written down": Pair(
        "model-grpc", {f"{SIDECAR}.log": LOG}
    ),
    f"{GRPC} leave out monitoring.driftPolicyRef: nothing is counted that could drift": Pair(
        "model-grpc", {"spec.monitoring.driftPolicyRef": {"name": "p"}}
    ),
    f"{GRPC} leave out monitoring.feedback: no prediction is remembered that a label could be "
    "for": Pair(
        "model-grpc",
        {"spec.monitoring.feedback": {"horizon": "1h"}},
        {"spec.monitoring.feedback": {"enabled": False}},
    ),
    f"{GRPC} leave out training: it is a DriftPolicy that starts it, and there is nothing that a "
    "policy could judge": Pair(
        "model-grpc", {"spec.training": SAMPLES["model-full"]["spec"]["training"]}
    ),
    "progressDeadline must be longer than 0": Pair(
        "model-full",
        {"spec.delivery.progressDeadline": "0m0s"},
        {"spec.delivery.progressDeadline": "0m1s"},
    ),
    "alpha must be in (0, 0.2]": Pair(
        "model-full",
        {"spec.delivery.analysis.alpha": "0"},
        {"spec.delivery.analysis.alpha": "0.2"},
    ),
    "beta must be in (0, 0.2]": Pair(
        "model-full",
        {"spec.delivery.analysis.beta": "0.21"},
        {"spec.delivery.analysis.beta": "0.2"},
    ),
}

RESOURCES = {
    "resources.requests must not be larger than resources.limits": Pair(
        "trainingjob-full",
        {"spec.resources.requests.memory": "16385Mi"},
        {"spec.resources.requests.memory": "16384Mi"},
    ),
    "resources are cpu, memory, ephemeral-storage, or of a vendor, such as nvidia.com/gpu": Pair(
        "trainingjob-full",
        {"spec.resources.limits": {"memry": "1Gi"}},
        {"spec.resources.limits": {"nvidia.com/gpu": "1", "memory": "16Gi"}},
    ),
}

TRAINING_JOB = {
    LABEL: Pair("trainingjob-minimal", {"metadata.name": "j" * 64}, {"metadata.name": "j" * 63}),
    "spec can't be changed, but for ttlAfterFinished: create a new TrainingJob": Pair(
        "trainingjob-full",
        {"spec.trainer.sklearn.parameters.max_depth": 7},
        {"spec.ttlAfterFinished": "1d"},
        is_update=True,
    ),
    "column is required by this check: name the column that it looks at": Pair(
        "trainingjob-full", {f"{UNIQUE}.column": ABSENT}
    ),
    "values is required by AllowedValues: list the values that may occur": Pair(
        "trainingjob-full", {f"{ALLOWED}.values": ABSENT}
    ),
    'max is required by MissingRate: the largest share of missing values, such as "0.02"': Pair(
        "trainingjob-full", {f"{MISSING}.max": ABSENT}
    ),
    "min or max is required by RowCount and Range": Pair(
        "trainingjob-full", {f"{ROWS}.min": ABSENT}, {f"{RANGE}.min": ABSENT}
    ),
    "min must not be larger than max": Pair(
        "trainingjob-full", {f"{RANGE}.max": "17.9"}, {f"{RANGE}.max": "18.0"}
    ),
    "min is required by LabelBalance: the smallest share of the rarest label": Pair(
        "trainingjob-full", {f"{BALANCE}.min": ABSENT}
    ),
    "holdout.fraction must be between 0 and 1": Pair(
        "trainingjob-full",
        {"spec.data.holdout.fraction": "1.0"},
        {"spec.data.holdout.fraction": "0.5"},
    ),
    "inputs must have one named train: the table that the model learns from": Pair(
        "trainingjob-minimal", {"spec.data.inputs.0.name": "test"}
    ),
    "inputs are named train or test; other names have no meaning": Pair(
        "trainingjob-full", {"spec.data.inputs.1.name": "holdout"}
    ),
    "inputs[].uri must end in .csv or .parquet": Pair(
        "trainingjob-full", {"spec.data.inputs.0.uri": "s3://features/churn/train.json"}
    ),
    "timestamp must be neither the target nor one of the features": Pair(
        "trainingjob-full",
        {"spec.data.timestamp": "tenure"},
        {"spec.data.timestamp": "seen_at", "spec.data.features": []},
    ),
    "features must not name the target: the model would be told what it shall predict": Pair(
        "trainingjob-full", {"spec.data.features": ["tenure", "churned"]}
    ),
    "deadline must be longer than 0": Pair(
        "trainingjob-full", {"spec.deadline": "0s"}, {"spec.deadline": "10s"}
    ),
    **RESOURCES,
    "a gate's metric needs min or max": Pair(
        "trainingjob-full", {"spec.gates.0.metrics.0.min": ABSENT}
    ),
    "a gate's min must not be larger than its max": Pair(
        "trainingjob-full",
        {"spec.gates.0.metrics.0.max": "0.7"},
        {"spec.gates.0.metrics.0.max": "0.78"},
    ),
    "output.uri must end in /": Pair(
        "trainingjob-minimal", {"spec.output.uri": "s3://models/churn"}
    ),
}

DRIFT_POLICY = {
    LABEL: Pair("driftpolicy-minimal", {"metadata.name": "p" * 64}, {"metadata.name": "p" * 63}),
    "falseAlarms.in must be longer than 0": Pair(
        "driftpolicy-full", {"spec.falseAlarms.in": "0d"}, {"spec.falseAlarms.in": "1d"}
    ),
    "breach is required by every type but Performance: what is too much": Pair(
        "driftpolicy-full", {f"{SCORES}.breach": ABSENT}
    ),
    "Performance needs min or maxRelativeDrop": Pair(
        "driftpolicy-full",
        {f"{PERFORMANCE}.min": ABSENT, f"{PERFORMANCE}.maxRelativeDrop": ABSENT},
        {f"{PERFORMANCE}.min": ABSENT},
    ),
    "warn, breach and share do not belong to Performance: use min or maxRelativeDrop": Pair(
        "driftpolicy-full", {f"{PERFORMANCE}.warn": "0.1"}
    ),
    "metric, min, maxRelativeDrop and minLabelled belong to Performance": Pair(
        "driftpolicy-full",
        {f"{INPUTS}.metric": "roc_auc"},
        {f"{PERFORMANCE}.metric": "roc_auc"},
    ),
    "features belong to DataDrift, DataQuality and MultivariateDrift": Pair(
        "driftpolicy-full", {f"{SCORES}.features": {"exclude": ["id"]}}
    ),
    "MultivariateDrift's warn and breach must be between 0.5 (nothing can be told apart) and 1 "
    "(everything can): they are a ROC AUC": Pair(
        "driftpolicy-full", {f"{TOGETHER}.warn": "0.5"}, {f"{TOGETHER}.warn": "0.51"}
    ),
    "interval and credentialsRef belong to MultivariateDrift": Pair(
        "driftpolicy-full", {f"{SCORES}.interval": "24h"}
    ),
    "interval must be between 10m and 168h: each look is a Job": Pair(
        "driftpolicy-full", {f"{TOGETHER}.interval": "1d"}, {f"{TOGETHER}.interval": "167h60m"}
    ),
    "share belongs to DataDrift": Pair("driftpolicy-full", {f"{QUALITY}.share": "0.2"}),
    "DataQuality's warn and breach must be smaller than 1: they are shares of the rows": Pair(
        "driftpolicy-full", {f"{QUALITY}.breach": "1"}, {f"{QUALITY}.breach": "0.99"}
    ),
    "warn must not be larger than breach": Pair(
        "driftpolicy-full", {f"{INPUTS}.warn": "0.26"}, {f"{INPUTS}.warn": "0.25"}
    ),
    "warn and breach must be larger than 0: no two samples are quite alike": Pair(
        "driftpolicy-full", {f"{INPUTS}.warn": "0"}, {f"{INPUTS}.warn": "0.01"}
    ),
    "PredictionDrift's warn and breach must be smaller than 0.83: no two distributions are "
    "further apart": Pair(
        "driftpolicy-full", {f"{SCORES}.breach": "0.83"}, {f"{SCORES}.breach": "0.829"}
    ),
    "min must be larger than 0 and at most 1: it is an accuracy or a ROC AUC": Pair(
        "driftpolicy-full", {f"{PERFORMANCE}.min": "0"}, {f"{PERFORMANCE}.min": "1"}
    ),
    "maxRelativeDrop must be at least 0 and smaller than 1": Pair(
        "driftpolicy-full",
        {f"{PERFORMANCE}.maxRelativeDrop": "1.0"},
        {f"{PERFORMANCE}.maxRelativeDrop": "0"},
    ),
    "window.size must be between 10s and 1h: the sidecars count 10 s at a time, and keep an "
    "hour": Pair("driftpolicy-full", {"spec.window.size": "1d"}, {"spec.window.size": "59m60s"}),
    "share must be larger than 0 and at most 1": Pair(
        "driftpolicy-full", {f"{INPUTS}.share": "1.1"}, {f"{INPUTS}.share": "1"}
    ),
    "sustain.breaches must not be larger than sustain.of": Pair(
        "driftpolicy-full", {"spec.sustain.breaches": 4}, {"spec.sustain.breaches": 3}
    ),
    "retrain is required by an action that retrains: set its cooldown and maxPerWeek": Pair(
        "driftpolicy-full", {"spec.retrain": ABSENT}
    ),
    "actions[].when.signals must name signals of this policy": Pair(
        "driftpolicy-full", {"spec.actions.0.when.signals": ["unknown"]}
    ),
    "reference.seasonality needs a signal that it acts on: DataDrift or PredictionDrift": Pair(
        "driftpolicy-minimal",
        {"spec.reference": HOURLY, f"{INPUTS}.type": "DataQuality"},
        {"spec.reference": HOURLY},
    ),
}

TEMPLATE = "spec.training.template.spec"


def in_a_template(pair: Pair) -> Pair:
    """The same edits of a training template, which keeps the same rules inside a Model."""
    whole = {TEMPLATE: _template(pair.sample)}
    return Pair(
        "model-full",
        refused=whole | _moved(pair.refused),
        accepted=whole | _moved(pair.accepted),
    )


def _template(sample: str) -> Manifest:
    spec: Manifest = SAMPLES[sample]["spec"]
    return {name: value for name, value in spec.items() if name != "modelRef"}


def _moved(edits: Edits) -> Edits:
    return {TEMPLATE + path.removeprefix("spec"): value for path, value in edits.items()}


IN_A_TEMPLATE = {
    message: in_a_template(pair)
    for message, pair in TRAINING_JOB.items()
    if message != LABEL and not pair.is_update
}
PAIRS = {
    "Model": MODEL | IN_A_TEMPLATE,
    "TrainingJob": TRAINING_JOB,
    "DriftPolicy": DRIFT_POLICY,
}
