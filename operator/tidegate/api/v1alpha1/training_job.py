"""TrainingJob: data in, a verified model with its reference profile out."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from tidegate.api.meta import (
    NAME_FITS_LABEL,
    ApiModel,
    Condition,
    Decimal,
    Digest,
    Duration,
    LocalRef,
    Name,
    ObjectMeta,
    Resources,
    Rule,
    S3Uri,
    list_map,
    longer_than_zero,
    validated,
)

Column = Annotated[str, StringConstraints(min_length=1, max_length=253)]
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
Format = Literal["Skops", "ONNX", "Joblib"]


class Input(ApiModel):
    """One table of the data: csv or parquet, told by the ending of `uri`."""

    name: Name
    """What the table is for: `train` (required) or `test`."""
    uri: S3Uri
    """Where the table is, such as `s3://features/churn/train.parquet`."""
    digest: Digest | None = None
    """The SHA-256 of the file; the job fails before training if it differs."""


class DataRule(ApiModel):
    """A check of the data that must hold before any compute is spent on training."""

    model_config = validated(
        Rule(
            "self.check == 'RowCount' || self.check == 'LabelBalance' || has(self.column)",
            "column is required by this check: name the column that it looks at",
        ),
        Rule(
            "self.check != 'AllowedValues' || has(self.values)",
            "values is required by AllowedValues: list the values that may occur",
        ),
        Rule(
            "self.check != 'MissingRate' || has(self.max)",
            'max is required by MissingRate: the largest share of missing values, such as "0.02"',
        ),
        Rule(
            "!(self.check in ['RowCount', 'Range']) || has(self.min) || has(self.max)",
            "min or max is required by RowCount and Range",
        ),
        Rule(
            "self.check != 'LabelBalance' || has(self.min)",
            "min is required by LabelBalance: the smallest share of the rarest label",
        ),
        Rule(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
            "min must not be larger than max",
        ),
    )

    check: Literal["RowCount", "MissingRate", "Range", "AllowedValues", "Unique", "LabelBalance"]
    """What is checked."""
    column: Column | None = None
    """The column that is checked; `RowCount` and `LabelBalance` take none."""
    min: Decimal | None = None
    """The smallest value (Range), number of rows (RowCount) or share (LabelBalance) allowed."""
    max: Decimal | None = None
    """The largest value (Range), number of rows (RowCount) or share (MissingRate) allowed."""
    values: (
        Annotated[
            tuple[Annotated[str, StringConstraints(max_length=253)], ...], Field(max_length=100)
        ]
        | None
    ) = None
    """The values that may occur, as text (AllowedValues)."""


class Validation(ApiModel):
    """The rules that the training data must keep."""

    on_failure: Literal["Fail", "Warn"] = "Fail"
    """Fail stops the job; Warn goes on and tells of it in the condition DataValidated."""
    rules: Annotated[tuple[DataRule, ...], Field(max_length=50)] = ()
    """All of them are checked; the condition DataValidated names each that does not hold."""


class Holdout(ApiModel):
    """The share of `train` that is kept for the metrics where there is no `test` input."""

    model_config = validated(
        Rule(
            "double(self.fraction) > 0.0 && double(self.fraction) < 1.0",
            "holdout.fraction must be between 0 and 1",
        ),
    )

    fraction: Decimal = "0.2"
    """The share, between 0 and 1."""
    stratify: bool = True
    """Keep the label's shares alike in both parts (classification only)."""


class Data(ApiModel):
    """The tables, and what is to be learned from them."""

    model_config = validated(
        Rule(
            "self.inputs.exists(i, i.name == 'train')",
            "inputs must have one named train: the table that the model learns from",
        ),
        Rule(
            "self.inputs.all(i, i.name == 'train' || i.name == 'test')",
            "inputs are named train or test; other names have no meaning",
        ),
        Rule(
            "self.inputs.all(i, i.uri.endsWith('.csv') || i.uri.endsWith('.parquet'))",
            "inputs[].uri must end in .csv or .parquet",
        ),
        Rule(
            "!has(self.features) || !(self.target in self.features)",
            "features must not name the target: the model would be told what it shall predict",
        ),
        Rule(
            "!has(self.timestamp) || (self.timestamp != self.target && "
            "(!has(self.features) || !(self.timestamp in self.features)))",
            "timestamp must be neither the target nor one of the features",
        ),
    )

    inputs: Annotated[
        tuple[Input, ...], Field(min_length=1, max_length=2, json_schema_extra=list_map("name"))
    ]
    """The table `train`, and `test` if the metrics shall be those of a table of its own."""
    target: Column
    """The column that the model shall predict."""
    features: Annotated[
        tuple[Column, ...],
        Field(max_length=1000, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """The columns that the model sees; all but the target and the timestamp if empty."""
    timestamp: Column | None = None
    """The column that says when a row was seen: dates and times, or ISO 8601 text, UTC where no
    offset is given. The reference profile then also counts by hour, for a DriftPolicy's
    `reference.seasonality`; the model does not see it."""
    holdout: Holdout = Holdout()
    validation: Validation = Validation()
    credentials_ref: LocalRef | None = None
    """The Secret whose keys (AWS_ACCESS_KEY_ID, …, AWS_ENDPOINT_URL) the job's pod gets."""


class Sklearn(ApiModel):
    """The built-in trainer: any estimator under `sklearn.`"""

    estimator: Annotated[
        str,
        StringConstraints(pattern=r"^sklearn(\.[a-z_0-9]+)+\.[A-Z][A-Za-z0-9]*$", max_length=253),
    ]
    """The estimator's import path, such as `sklearn.linear_model.LogisticRegression`."""
    parameters: Annotated[
        dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
    ] = {}
    """The estimator's parameters, by their scikit-learn names."""
    preprocessing: Literal["Auto", "None"] = "Auto"
    """Auto imputes and scales numbers and one-hot encodes categories; None does nothing."""


class Trainer(ApiModel):
    """How the model is made."""

    sklearn: Sklearn


class CrossValidation(ApiModel):
    """Cross-validation on `train`, reported as `cv_<metric>_mean` and `cv_<metric>_std`."""

    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Into how many parts the rows are divided, each of which is judged once."""
    metric: MetricName
    """The name of the metric that is reported, such as `roc_auc`."""


class GateMetric(ApiModel):
    """A bound that a metric of the held-out rows must keep."""

    model_config = validated(
        Rule("has(self.min) || has(self.max)", "a gate's metric needs min or max"),
        Rule(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
            "a gate's min must not be larger than its max",
        ),
    )

    name: MetricName
    """A name of metrics.json, such as `accuracy` or `roc_auc`."""
    min: Decimal | None = None
    """The smallest value that passes."""
    max: Decimal | None = None
    """The largest value that passes."""


class Gate(ApiModel):
    """Bounds that the model must keep before it is published."""

    name: Name
    """What the condition GatesPassed calls it."""
    metrics: Annotated[tuple[GateMetric, ...], Field(min_length=1, max_length=20)]
    """The bounds; each must be kept."""


class Reproducibility(ApiModel):
    """What makes two runs alike."""

    seed: Annotated[int, Field(ge=0, le=4294967295)] = 42
    """Where all random numbers of a run begin."""


class Output(ApiModel):
    """Where the model goes: a new folder, named after the job, below `uri`."""

    model_config = validated(Rule("self.uri.endsWith('/')", "output.uri must end in /"))

    uri: S3Uri
    """A folder, such as `s3://models/churn/`."""
    format: Format = "Skops"
    """Skops and ONNX load without running code; Joblib is a pickle, which a Model serves only with
    `artifact.allowUnsafe`."""
    credentials_ref: LocalRef | None = None
    """The Secret to write with; `data.credentialsRef` if absent."""
    reference_rows: Annotated[int, Field(ge=0, le=20_000)] = 0
    """Training rows, drawn at random, that are published beside the model for MultivariateDrift to
    compare with, such as 2000. Whoever may read the model can read them: none, if absent."""


class TrainingTemplate(ApiModel):
    """What a TrainingJob does, without the Model that it does it for."""

    data: Data
    trainer: Trainer
    cross_validation: CrossValidation | None = None
    gates: Annotated[
        tuple[Gate, ...], Field(max_length=10, json_schema_extra=list_map("name"))
    ] = ()
    """What the model must keep, else the job fails and nothing is published."""
    reproducibility: Reproducibility = Reproducibility()
    output: Output
    resources: Resources = Resources()
    deadline: Annotated[Duration, Field(json_schema_extra=longer_than_zero("deadline"))] = "4h"
    """The job is ended when it has run this long."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a run is tried again that failed for a passing reason."""
    ttl_after_finished: Duration = "7d"
    """The job's pods are deleted this long after its end; the TrainingJob itself stays."""


class TrainingJobSpec(TrainingTemplate):
    """What is trained; it can't be changed after creation, but for `ttlAfterFinished`."""

    model_config = validated(
        Rule(
            "self.data == oldSelf.data && self.trainer == oldSelf.trainer "
            "&& self.output == oldSelf.output && self.reproducibility == oldSelf.reproducibility "
            "&& self.gates == oldSelf.gates && self.resources == oldSelf.resources "
            "&& self.deadline == oldSelf.deadline && self.retries == oldSelf.retries "
            "&& has(self.crossValidation) == has(oldSelf.crossValidation) "
            "&& (!has(self.crossValidation) || self.crossValidation == oldSelf.crossValidation) "
            "&& has(self.modelRef) == has(oldSelf.modelRef) "
            "&& (!has(self.modelRef) || self.modelRef == oldSelf.modelRef)",
            "spec can't be changed, but for ttlAfterFinished: create a new TrainingJob",
        ),
    )

    model_ref: LocalRef | None = None
    """The Model that may take the result as its next candidate (`artifact.fromTraining`)."""


class Lineage(ApiModel):
    """Where a model comes from, by digest."""

    inputs: dict[str, str] = {}
    """SHA-256 of each input, by name."""
    image: str = ""
    seed: int | None = None
    packages: str = ""
    """Digest of the sorted list of installed Python packages."""
    triggered_by: str = ""
    """The drift policy and decision that asked for this run, if any."""


class PublishedOutput(ApiModel):
    """What the job published."""

    uri: str
    digest: str
    profile: str = ""
    format: Format = "Skops"


class TrainingJobStatus(ApiModel):
    """What the operator has seen of the job."""

    observed_generation: int = 0
    state: str = ""
    """Pending, Fetching, Validating, Training, Publishing, Succeeded or Failed; for people."""
    start_time: str | None = None
    completion_time: str | None = None
    duration: str | None = None
    metric: str | None = None
    """The first metric in words, for the printed table."""
    metrics: dict[str, str] = {}
    lineage: Lineage | None = None
    output: PublishedOutput | None = None
    conditions: Annotated[tuple[Condition, ...], Field(json_schema_extra=list_map("type"))] = ()

    def condition(self, kind: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def succeeded(self) -> bool:
        """Whether a verified model was published."""
        return self.state == "Succeeded" and self.output is not None

    @property
    def finished(self) -> bool:
        return self.state in ("Succeeded", "Failed")


class TrainingJob(ApiModel):
    """Trains a model on tables in an object store and publishes it with its reference profile."""

    model_config = validated(NAME_FITS_LABEL)

    metadata: ObjectMeta
    spec: TrainingJobSpec
    status: TrainingJobStatus = TrainingJobStatus()
