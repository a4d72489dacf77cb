"""Model: what serves, how a new version is let through, and what watches it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tidegate.api.meta import (
    ApiModel,
    Digest,
    Duration,
    LocalRef,
    ObjectMeta,
    Resources,
    Rule,
    S3Uri,
    as_default,
    longer_than_zero,
    validated,
)
from tidegate.api.v1alpha1.analysis import Analysis
from tidegate.api.v1alpha1.model_status import ModelStatus
from tidegate.api.v1alpha1.training_job import Format, TrainingTemplate


class FromTraining(ApiModel):
    """The newest succeeded TrainingJob whose `modelRef` names this Model."""


class Artifact(ApiModel):
    """Which model is wanted."""

    model_config = validated(
        Rule(
            "has(self.uri) != has(self.fromTraining)",
            "artifact takes exactly one of uri and fromTraining",
        ),
        Rule(
            "has(self.uri) == has(self.digest)",
            "artifact.digest goes with artifact.uri: pin what is served by its digest",
        ),
        Rule(
            "has(self.fromTraining) || self.format != 'Joblib' || self.allowUnsafe",
            "artifact.format Joblib runs code when it is loaded: "
            "set artifact.allowUnsafe to accept it",
        ),
    )

    uri: S3Uri | None = None
    """The folder of the model, such as `s3://models/churn/v7/`."""
    from_training: FromTraining | None = None
    digest: Digest | None = None
    """SHA-256 of the sorted `sha256sum` listing of the folder; checked before it is loaded."""
    format: Format = "Skops"
    """How the model under `uri` is stored; with `fromTraining` the TrainingJob says it."""
    allow_unsafe: bool = False
    """Accept formats that run code when they are loaded (Joblib)."""
    credentials_ref: LocalRef | None = None
    """The Secret whose keys (AWS_ACCESS_KEY_ID, …, AWS_ENDPOINT_URL) the fetch gets."""


class Scaling(ApiModel):
    """How many pods serve."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods of each revision that serves."""


class Capture(ApiModel):
    """Which requests the monitor gets a copy of, to count features and predictions."""

    model_config = validated(
        Rule(
            "self.mode == 'Sample' || self.samplePercent == 100",
            "capture.samplePercent is for capture.mode Sample",
        ),
    )

    mode: Literal["All", "Sample", "Off"] = "All"
    """Off copies nothing: requests, errors and latencies are counted all the same."""
    sample_percent: Annotated[int, Field(ge=1, le=100)] = 100
    """Of the requests, with mode Sample; each one is drawn on its own."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 1_048_576
    """A longer request or answer is not copied, and counted as unparsed."""


FeatureNames = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=128)], ...],
    Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "set"}),
]


class PredictionLog(ApiModel):
    """Lines of features and predictions in a bucket: see docs/prediction-log.md."""

    model_config = validated(
        Rule("self.uri.endsWith('/')", "log.uri must end in /"),
        Rule(
            "self.redact.all(name, !(name in self.hashed))",
            "log.redact and log.hashed: a feature is left out or hashed, not both",
        ),
    )

    uri: S3Uri
    """The folder that the lines go to, such as `s3://logs/churn/`."""
    percent: Annotated[int, Field(ge=1, le=100)] = 10
    """Of the copied answers; by the hash of the request's own id, or else of x-tidegate-id."""
    redact: FeatureNames = ()
    """Features that are left out."""
    hashed: FeatureNames = ()
    """Features of which a pseudonym is written, made with the Secret's TIDEGATE_LOG_SALT."""
    credentials_ref: LocalRef
    """The Secret with AWS_ACCESS_KEY_ID, …, AWS_ENDPOINT_URL; it only has to put objects."""


class Sidecar(ApiModel):
    """The proxy and monitor beside the model."""

    model_config = validated(
        Rule(
            "!has(self.log) || self.capture.mode != 'Off'",
            "sidecar.log needs copies of requests: set sidecar.capture.mode to All or Sample",
        ),
    )

    capture: Capture = Capture()
    log: PredictionLog | None = None
    """Absent: nothing is written anywhere."""
    resources: Resources = Resources()


class Serving(ApiModel):
    """The pods."""

    model_config = validated(
        Rule(
            "self.protocol == oldSelf.protocol",
            "serving.protocol can't be changed, because clients speak one of them: create another "
            "Model",
        ),
    )

    protocol: Literal["HTTP", "GRPC"] = "HTTP"
    """HTTP: JSON in the protocols of docs/serving.md. GRPC: Open Inference Protocol v2 over HTTP/2,
    passed on as bytes: no evidence comes from it, and a new version is let through at once."""
    scaling: Scaling = Scaling()
    resources: Resources = Resources()
    """Compute resources of the model's container."""
    sidecar: Sidecar = Sidecar()


class Pause(ApiModel):
    """Wait before the next step; the analysis goes on meanwhile."""

    duration: Duration
    """May be edited while it lasts: `0s` goes on at once. What was waited already counts."""


class AnalysisStep(ApiModel):
    """Wait until every metric passes."""

    timeout: Duration | None = None
    """After this, `analysis.onInconclusive` decides; without it the step waits on."""


class Shadow(ApiModel):
    """Have the candidate answer copies of requests, and wait until it is shown to agree enough."""

    percent: Annotated[int, Field(ge=1, le=100)]
    """Of the requests that the stable revision answers."""
    min_samples: Annotated[int, Field(ge=1, le=10_000_000)]
    """The least number of copies that must have been compared in this step."""


class Step(ApiModel):
    """One step of a canary: exactly one of its fields."""

    model_config = validated(
        Rule(
            "[has(self.shadow), has(self.setWeight), has(self.pause), has(self.analysis)]"
            ".filter(x, x).size() == 1",
            "a step has exactly one of shadow, setWeight, pause and analysis",
        ),
    )

    shadow: Shadow | None = None
    """Copies only: no client gets an answer of the candidate because of this step."""

    set_weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """The percentage of requests that the candidate gets from here on."""
    pause: Pause | None = None
    analysis: AnalysisStep | None = None


HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$", max_length=128)
]
HeaderValue = Annotated[
    str, StringConstraints(pattern=r"^[!-~]([ -~]*[!-~])?$", min_length=1, max_length=256)
]


class Sticky(ApiModel):
    """All requests of a session go to the same revision, also when the weight rises."""

    header: HeaderName
    """The header whose value tells sessions apart, such as `x-user-id`; its case does not matter.
    Requests without it are drawn one by one."""


class HeaderMatch(ApiModel):
    """A header whose value sends a request to the candidate, whatever the weight."""

    header: HeaderName
    """The header's name; its case does not matter."""
    value: HeaderValue
    """The whole value, as it is written."""


class Canary(ApiModel):
    """The candidate gets a growing share of the requests."""

    model_config = validated(
        Rule(
            "has(self.steps[0].shadow) || has(self.steps[0].setWeight)",
            "canary.steps must begin with shadow or setWeight",
        ),
        Rule(
            "self.steps.all(s, !has(s.analysis)) || has("
            "self.steps.filter(s, has(s.setWeight) || has(s.analysis))[0].setWeight)",
            "canary.steps[].analysis needs a setWeight before it: until then the candidate has no "
            "requests to compare",
        ),
        Rule(
            "self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight)"
            ".all(w, self.steps.filter(s, has(s.setWeight) && s.setWeight == w).size() == 1) && "
            "self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight).isSorted()",
            "canary.steps[].setWeight must rise from step to step",
        ),
    )

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=30)]
    """One after the other; after the last one the candidate is promoted."""
    sticky: Sticky | None = None
    match: Annotated[tuple[HeaderMatch, ...], Field(max_length=20)] = ()
    """Requests that fit one of these go to the candidate from the first step on. They are not
    compared: who was chosen is no fair sample."""


class Immediate(ApiModel):
    """The candidate gets all requests as soon as its pods are ready."""


class Strategy(ApiModel):
    """How a new revision is let through: exactly one of its fields."""

    model_config = validated(
        Rule(
            "has(self.canary) != has(self.immediate)", "strategy takes one of canary and immediate"
        ),
    )

    canary: Canary | None = None
    immediate: Immediate | None = None


class Delivery(ApiModel):
    """How a new revision replaces the stable one."""

    model_config = validated(
        Rule(
            "!has(self.strategy) || !has(self.strategy.canary) "
            "|| !has(self.strategy.canary.sticky) || has(self.analysis.maxRequestsPerSession)",
            "canary.sticky needs analysis.maxRequestsPerSession: the requests of a session stand "
            "or fall together, and must not count as independent ones",
        ),
        Rule(
            "(has(self.strategy) && has(self.strategy.canary) "
            "&& self.strategy.canary.steps.exists(s, has(s.shadow))) "
            "== (has(self.analysis.metrics) "
            "&& self.analysis.metrics.exists(m, m.source == 'PairedDisagreement'))",
            "a shadow step and a metric of source PairedDisagreement need each other: one makes "
            "the copies, the other judges them",
        ),
        Rule(
            "!has(self.analysis.metrics) || "
            "self.analysis.metrics.exists(m, m.source != 'PairedDisagreement') || "
            "!(has(self.strategy) && has(self.strategy.canary) "
            "&& self.strategy.canary.steps.exists(s, has(s.analysis)))",
            "canary.steps[].analysis needs a metric of another source than PairedDisagreement: "
            "that one has been decided by the shadow step",
        ),
    )

    strategy: Strategy | None = None
    """Absent: a canary of 10 %, analysis, 50 %, analysis."""
    analysis: Analysis = Analysis()
    keep_previous_warm: Duration = "1h"
    """The replaced revision's pods stay this long after a promotion."""
    progress_deadline: Annotated[
        Duration, Field(json_schema_extra=longer_than_zero("progressDeadline"))
    ] = "10m"
    """A candidate whose pods are not ready after this is rejected."""
    revision_history_limit: Annotated[int, Field(ge=1, le=100)] = 10
    """How many revisions that no longer serve are remembered."""


class Feedback(ApiModel):
    """`POST /feedback` with an answer's x-tidegate-id and the true label."""

    enabled: bool = True
    """False: every label is answered with 404."""
    horizon: Duration = "24h"
    """How long after an answer its label may come; later ones are refused and counted."""


class Monitoring(ApiModel):
    """What watches the Model."""

    drift_policy_ref: LocalRef | None = None
    """The DriftPolicy that watches this Model; one whose selector matches, if absent."""
    feedback: Feedback = Feedback()


class TemplateHolder(ApiModel):
    """A TrainingJob to be."""

    spec: TrainingTemplate


class Training(ApiModel):
    """How a new version of this Model is trained."""

    template: TemplateHolder


def _unless_grpc(rule: str, message: str) -> Rule:
    return Rule(
        f"self.serving.protocol != 'GRPC' || ({rule})", f"with serving.protocol GRPC {message}"
    )


class ModelSpec(ApiModel):
    """What is wanted; the operator never writes here."""

    model_config = validated(
        Rule(
            "self.serving.sidecar.capture.mode != 'Off' || !has(self.delivery.analysis.metrics) || "
            "self.delivery.analysis.metrics.all(m, "
            "m.source in ['ErrorRate', 'LatencyQuantile', 'PairedDisagreement', 'Prometheus'])",
            "with serving.sidecar.capture.mode Off there are only metrics of source ErrorRate, "
            "LatencyQuantile, PairedDisagreement and Prometheus: nothing else is counted",
        ),
        Rule(
            "self.serving.sidecar.capture.mode != 'Off' || !has(self.monitoring.driftPolicyRef)",
            "monitoring.driftPolicyRef needs copies of requests: set serving.sidecar.capture.mode "
            "to All or Sample",
        ),
        _unless_grpc(
            "has(self.delivery.strategy) && has(self.delivery.strategy.immediate)",
            "set delivery.strategy to {immediate: {}}: connections are passed on as bytes, so that "
            "no request can be given a weight, matched, kept with its session, copied or compared",
        ),
        _unless_grpc(
            as_default("self.delivery.analysis", Analysis),
            "leave out delivery.analysis: no request is counted, so that nothing can be compared",
        ),
        _unless_grpc(
            "self.serving.sidecar.capture.mode == 'Off' || "
            + as_default("self.serving.sidecar.capture", Capture),
            "leave out serving.sidecar.capture: connections are passed on as bytes, and no request "
            "is copied",
        ),
        _unless_grpc(
            "!has(self.serving.sidecar.log)",
            "leave out serving.sidecar.log: no prediction is read that could be written down",
        ),
        _unless_grpc(
            "!has(self.monitoring.driftPolicyRef)",
            "leave out monitoring.driftPolicyRef: nothing is counted that could drift",
        ),
        _unless_grpc(
            "!self.monitoring.feedback.enabled || "
            + as_default("self.monitoring.feedback", Feedback),
            "leave out monitoring.feedback: no prediction is remembered that a label could be for",
        ),
        _unless_grpc(
            "!has(self.training)",
            "leave out training: it is a DriftPolicy that starts it, and there is nothing that a "
            "policy could judge",
        ),
    )

    suspend: bool = False
    """True stops deciding: a running rollout goes back to weight 0, serving goes on."""
    artifact: Artifact
    serving: Serving = Serving()
    delivery: Delivery = Delivery()
    monitoring: Monitoring = Monitoring()
    training: Training | None = None


class Model(ApiModel):
    """A machine-learning model: served, delivered by evidence, watched for drift."""

    model_config = validated(
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "metadata.name becomes a Service's: at most 63 of a-z, 0-9 and -, the first a letter",
        ),
    )

    metadata: ObjectMeta
    spec: ModelSpec
    status: ModelStatus = ModelStatus()
