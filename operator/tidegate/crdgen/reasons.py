"""What each reason means and what to do about it, as one page."""

from tidegate.api.names import Reason
from tidegate.crdgen.reference import HEADER

MEANINGS: dict[Reason, str] = {
    Reason.VALID: "The spec can be carried out.",
    Reason.INVALID_SPEC: "The API server refuses what the spec asks for; change the named field.",
    Reason.UNSAFE_FORMAT: "The model's format runs code when it is loaded; accept that by "
    "`artifact.allowUnsafe`, or publish it as skops or ONNX.",
    Reason.RESOLVED: "It is known which artifact is wanted, by its digest.",
    Reason.AWAITING_TRAINING: "No TrainingJob whose `modelRef` names this Model has succeeded yet.",
    Reason.SERVING: "The stable revision's pods serve.",
    Reason.NOT_READY: "Pods of the stable revision aren't ready; the message has the pod's words.",
    Reason.PROGRESSING: "A rollout is under way; the message says at which step.",
    Reason.PROMOTED: "The wanted revision serves all requests.",
    Reason.ROLLED_BACK: "The wanted revision was rejected and the stable one serves; it is not "
    "tried again by itself, but after the next edit of the spec if nothing was proven against it.",
    Reason.SUSPENDED: "`spec.suspend` is true: nothing is decided; serving goes on.",
    Reason.FIRST_REVISION: "There was no other revision to compare with: it serves at once.",
    Reason.CANDIDATE_NOT_READY: "The candidate's pods aren't ready: it has no weight, and it is "
    "rejected after `delivery.progressDeadline`.",
    Reason.CANDIDATE_READY: "The candidate's pods are ready: the first step begins.",
    Reason.AWAITING_PODS: "The rollout waits for the candidate's pods.",
    Reason.AWAITING_CONFIRMATION: "The weight was sent; not every stable pod acts on it yet.",
    Reason.AWAITING_SAMPLES: "There is too little evidence for a verdict yet.",
    Reason.ANALYSIS_PASSED: "Every metric passed: the next step begins.",
    Reason.ANALYSIS_TIMED_OUT: "There was no verdict in the step's timeout; "
    "`analysis.onInconclusive` says what follows.",
    Reason.METRIC_BREACHED: "The candidate is worse than the tolerance allows, on evidence; the "
    "message has the numbers.",
    Reason.ROUTING_SKEW: "The candidate does not get the same kind of requests as the stable "
    "revision, so that their answers can't be compared: look for what routes or changes them.",
    Reason.PAUSED: "The step's pause is not over.",
    Reason.PAUSE_ENDED: "The step's pause is over: the next step begins.",
    Reason.WEIGHT_SET: "The candidate gets this share of the requests from here on.",
    Reason.STABLE_GONE: "The stable revision has had no ready pod for the progress deadline; "
    "the ready candidate took its place, without evidence.",
    Reason.STEPS_COMPLETED: "All steps are done: the candidate becomes the stable revision.",
    Reason.SUPERSEDED: "The spec changed in the middle of the rollout: it begins anew.",
    Reason.ANALYSIS_CONFIGURED: "New revisions are compared by the metrics of the spec.",
    Reason.DEFAULT_ANALYSIS: "New revisions are compared by errors and latency, the default.",
    Reason.NO_ANALYSIS: "Nothing compares a new revision with the stable one: give "
    "`analysis.metrics`, or leave it out for the default.",
    Reason.NOTHING_COUNTED: "`serving.protocol` is GRPC: connections are passed on as bytes, so "
    "that there is no evidence to compare, or to watch for drift.",
    Reason.NO_PROMETHEUS: "A metric asks Prometheus, and the operator knows none: it stays without "
    "a verdict until `prometheus.url` is set in the chart's values.",
    Reason.METRIC_UNANSWERED: "Prometheus does not tell what a metric asks; the message has the "
    "query and the reason. Windows without a value are no evidence.",
    Reason.CLOCK_SKEWED: "The clocks of some pods are more than 30 s off the operator's: what they "
    "count is left out of the evidence. The message names pods and nodes: look at their NTP.",
    Reason.CLOCK_SET: "The operator's clock was set far: the rollout stays where it is for a look, "
    "and no time passes for it; if the clock was set back, its analysis begins anew.",
    Reason.WITHIN_POLICY: "No signal of the policy is in breach.",
    Reason.DRIFT_DETECTED: "A signal of the policy is in breach; the message names it.",
    Reason.AWAITING_EVIDENCE: "There are too few rows or labels to judge by.",
    Reason.NO_TRAINING_TEMPLATE: "The policy would retrain, and the Model has no "
    "`training.template` to do it with.",
    Reason.RETRAIN_STARTED: "A TrainingJob was created from the Model's template.",
    Reason.RETRAIN_RUNNING: "No retraining is started while a TrainingJob of the Model runs, "
    "or while a model that the policy has trained is the candidate.",
    Reason.COOLING_DOWN: "No retraining is started before `retrain.cooldown` has passed.",
    Reason.BUDGET_SPENT: "`retrain.maxPerWeek` is used up.",
    Reason.ADVISED: "Mode Advise: this is what mode Enforce would have done.",
    Reason.BROKEN_DATA: "Features have lost their values: nothing is trained on them, and no "
    "rollout goes on; mend what produces the data.",
    Reason.NO_MODELS: "No Model is watched: none names the policy, none matches its selector.",
    Reason.NO_POLICY: "`monitoring.driftPolicyRef` names a DriftPolicy that there is not: nothing "
    "watches the Model until there is one of this name in its namespace.",
    Reason.DATA_FRESH: "Every watched Model reports.",
    Reason.ARTIFACT_INVALID: "The folder is not a model that Tidegate can load; publish it again.",
    Reason.STARTED: "The job was started.",
    Reason.NAME_TAKEN: "An object of the wanted name exists and belongs to somebody else; it is "
    "left alone: delete it, or use another name. The message says which one.",
    Reason.PENDING: "Nothing has run yet.",
    Reason.FETCHING: "The tables are being fetched and their digests checked.",
    Reason.VALIDATING: "The data's rules are being checked.",
    Reason.TRAINING: "The model is being trained.",
    Reason.PUBLISHING: "The model and its reference profile are being published.",
    Reason.SUCCEEDED: "The model was published; its digest is in status.",
    Reason.FAILED: "The job has failed; the condition Ready says why.",
    Reason.DATA_INVALID: "The data breaks a rule, or can't be read; the message has the numbers.",
    Reason.DIGEST_MISMATCH: "What was fetched is not what the digest pins: somebody changed it.",
    Reason.INPUT_NOT_FOUND: "There is nothing under the URI.",
    Reason.OBJECT_STORE_UNREACHABLE: "The object store did not answer; it is tried again.",
    Reason.ACCESS_DENIED: "The object store refuses the credentials of the Secret.",
    Reason.COLUMN_MISSING: "A column that the spec names is not in the table.",
    Reason.ESTIMATOR_UNKNOWN: "There is no such estimator in scikit-learn.",
    Reason.PARAMETER_INVALID: "The estimator doesn't take this parameter, or not this value.",
    Reason.TRAINING_FAILED: "The estimator gave up on the data; the message is its own.",
    Reason.GATE_FAILED: "A metric missed the bound of a gate: the model was not published.",
    Reason.METRICS_MISSING: "A gate names a metric that the model doesn't have.",
    Reason.DEADLINE_EXCEEDED: "The job ran longer than `deadline`.",
    Reason.JOB_FAILED: "The pod failed for a reason of its own; the message has its last words.",
    Reason.OOM_KILLED: "A stage needs more memory: raise `resources.limits.memory`.",
    Reason.RESULT_UNREADABLE: "The pod ended without a result that can be read.",
    Reason.UNREADABLE: "It was stored under a schema that can't be read any more (an Event only).",
}


def page() -> str:
    """The page, by name."""
    rows = sorted(f"| `{reason.value}` | {meaning} |" for reason, meaning in MEANINGS.items())
    return (
        f"{HEADER}# Reasons\n\n"
        "The `reason` of a condition, an Event or a decision. The `message` beside it has the\n"
        "numbers.\n\n"
        "| reason | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    )
