"""Every name that is part of Tidegate's contract with the cluster, in one place."""

import hashlib
from enum import StrEnum

GROUP = "tidegate.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "tidegate"
LEASE_NAME = "tidegate-operator"

MODEL, TRAINING_JOB, DRIFT_POLICY = "Model", "TrainingJob", "DriftPolicy"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "tidegate"
LABEL_MODEL = f"{GROUP}/model"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_TRAINING_JOB = f"{GROUP}/training-job"
LABEL_POLICY = f"{GROUP}/drift-policy"
ANNOTATION_REVISION = f"{GROUP}/revision-data"
ANNOTATION_TRIGGERED_BY = f"{GROUP}/triggered-by"
ANNOTATION_LOOK = f"{GROUP}/look"
# Hash of what was applied last: tells fields that were given up from defaults of the server.
ANNOTATION_INTENT = f"{GROUP}/intent"

TRAFFIC_PORT, CONTROL_PORT, METRICS_PORT, MODEL_PORT = 8080, 8081, 9090, 8000
MODEL_GRPC_PORT = 8001

MODEL_DIR = "/models"
ROUTING_DIR = "/etc/tidegate/routing"
ROUTING_FILE, PUBLIC_KEY_FILE = "routing.json", "public-key.pem"

HEADER_ID = "x-tidegate-id"
HEADER_ROUTED = "x-tidegate-routed"

# A uid of a pod and of a person in no image; restricted pods must not run as root.
POD_UID = 65532

# How a program in a pod says that trying again changes nothing (sysexits: EX_USAGE).
EXIT_PERMANENT = 64
# That something else was out of reach, and may not be next time (EX_TEMPFAIL).
EXIT_TRANSIENT = 75


class Reason(StrEnum):
    """Why a condition or a decision is as it is; one sentence each stands in docs/reference."""

    # Accepted
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    UNSAFE_FORMAT = "UnsafeFormat"
    # ArtifactResolved
    RESOLVED = "Resolved"
    AWAITING_TRAINING = "AwaitingTraining"
    # Available, Promoted
    SERVING = "Serving"
    NOT_READY = "NotReady"
    PROGRESSING = "Progressing"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    SUSPENDED = "Suspended"
    FIRST_REVISION = "FirstRevision"
    CANDIDATE_NOT_READY = "CandidateNotReady"
    CANDIDATE_READY = "CandidateReady"
    AWAITING_PODS = "AwaitingPods"
    AWAITING_CONFIRMATION = "AwaitingConfirmation"
    AWAITING_SAMPLES = "AwaitingSamples"
    ANALYSIS_PASSED = "AnalysisPassed"
    ANALYSIS_TIMED_OUT = "AnalysisTimedOut"
    METRIC_BREACHED = "MetricBreached"
    ROUTING_SKEW = "RoutingSkew"
    PAUSED = "Paused"
    PAUSE_ENDED = "PauseEnded"
    WEIGHT_SET = "WeightSet"
    STEPS_COMPLETED = "StepsCompleted"
    STABLE_GONE = "StableGone"
    SUPERSEDED = "Superseded"
    # Guarded
    ANALYSIS_CONFIGURED = "AnalysisConfigured"
    DEFAULT_ANALYSIS = "DefaultAnalysis"
    NO_ANALYSIS = "NoAnalysis"
    NOTHING_COUNTED = "NothingCounted"
    NO_PROMETHEUS = "NoPrometheus"
    METRIC_UNANSWERED = "MetricUnanswered"
    CLOCK_SKEWED = "ClockSkewed"
    CLOCK_SET = "ClockSet"
    # drift
    WITHIN_POLICY = "WithinPolicy"
    DRIFT_DETECTED = "DriftDetected"
    AWAITING_EVIDENCE = "AwaitingEvidence"
    NO_TRAINING_TEMPLATE = "NoTrainingTemplate"
    RETRAIN_STARTED = "RetrainStarted"
    RETRAIN_RUNNING = "RetrainRunning"
    COOLING_DOWN = "CoolingDown"
    BUDGET_SPENT = "BudgetSpent"
    ADVISED = "Advised"
    BROKEN_DATA = "BrokenData"
    NO_MODELS = "NoModels"
    NO_POLICY = "NoPolicy"
    DATA_FRESH = "DataFresh"
    # the programs in the pods
    ARTIFACT_INVALID = "ArtifactInvalid"
    # TrainingJob
    STARTED = "Started"
    NAME_TAKEN = "NameTaken"
    PENDING = "Pending"
    FETCHING = "Fetching"
    VALIDATING = "Validating"
    TRAINING = "Training"
    PUBLISHING = "Publishing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DATA_INVALID = "DataInvalid"
    DIGEST_MISMATCH = "DigestMismatch"
    INPUT_NOT_FOUND = "InputNotFound"
    OBJECT_STORE_UNREACHABLE = "ObjectStoreUnreachable"
    ACCESS_DENIED = "AccessDenied"
    COLUMN_MISSING = "ColumnMissing"
    ESTIMATOR_UNKNOWN = "EstimatorUnknown"
    PARAMETER_INVALID = "ParameterInvalid"
    TRAINING_FAILED = "TrainingFailed"
    GATE_FAILED = "GateFailed"
    METRICS_MISSING = "MetricsMissing"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    JOB_FAILED = "JobFailed"
    OOM_KILLED = "OOMKilled"
    RESULT_UNREADABLE = "ResultUnreadable"
    UNREADABLE = "Unreadable"


class ConditionType(StrEnum):
    """The condition types; all are good when `True`."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    ARTIFACT_RESOLVED = "ArtifactResolved"
    AVAILABLE = "Available"
    PROMOTED = "Promoted"
    GUARDED = "Guarded"
    WITHIN_POLICY = "WithinPolicy"
    DATA_FRESH = "DataFresh"
    DATA_VALIDATED = "DataValidated"
    TRAINED = "Trained"
    GATES_PASSED = "GatesPassed"
    PUBLISHED = "Published"


def short_hash(text: str, length: int = 8) -> str:
    """A stable, lowercase hash of `text` that may stand in an object's name."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def child_name(*parts: str, limit: int = 63) -> str:
    """A deterministic object name of the parts; too long a name is cut and hashed.

    >>> child_name("churn", "5f7c9a12")
    'churn-5f7c9a12'
    >>> len(child_name("x" * 80, "5f7c9a12"))
    63
    """
    name = "-".join(parts)
    if len(name) <= limit:
        return name
    return f"{name[: limit - 9].rstrip('-.')}-{short_hash(name)}"
