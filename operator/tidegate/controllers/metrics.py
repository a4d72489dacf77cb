"""The operator's Prometheus metrics, all in one place; labels come from bounded sets only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tidegate.controllers.decision_log import DecisionLog
from tidegate.controllers.workqueue import WorkQueue


class Metrics:
    """What /metrics shows."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.reconciles = Counter(
            "tidegate_reconcile_total", "Reconciles.", ("kind", "result"), registry=registry
        )
        self.reconcile_seconds = Histogram(
            "tidegate_reconcile_duration_seconds",
            "How long a reconcile took.",
            ("kind",),
            registry=registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
        )
        self.queue_depth = Gauge(
            "tidegate_workqueue_depth", "Objects that wait to be reconciled.", registry=registry
        )
        self.api_requests = Counter(
            "tidegate_api_requests_total",
            "Requests to the API server; code 0: no answer.",
            ("verb", "resource", "code"),
            registry=registry,
        )
        self.leader = Gauge(
            "tidegate_leader", "1 while this replica leads, else 0.", registry=registry
        )
        self.decisions = Counter(
            "tidegate_decisions_total",
            "Decisions about rollouts.",
            ("action", "reason"),
            registry=registry,
        )
        self.decision_records = Counter(
            "tidegate_decision_records_total",
            "Lines of the decision log: written, failed (tried again), dropped.",
            ("result",),
            registry=registry,
        )
        self.decision_records_waiting = Gauge(
            "tidegate_decision_records_waiting",
            "Lines of the decision log that the store has not taken yet.",
            registry=registry,
        )
        self.rollout_weight = Gauge(
            "tidegate_rollout_weight",
            "Percent of the requests that a revision gets, as confirmed by the pods.",
            ("namespace", "model", "revision"),
            registry=registry,
        )
        self.drift_level = Gauge(
            "tidegate_model_drift_level",
            "0 Ok, 1 Warn, 2 Breach, -1 Unknown.",
            ("namespace", "model"),
            registry=registry,
        )
        self.retrains = Counter(
            "tidegate_retrains_total",
            "Retrainings that a policy started.",
            ("namespace", "model"),
            registry=registry,
        )
        self.questions = Counter(
            "tidegate_prometheus_questions_total",
            "Questions to Prometheus, by what came of them: value, empty, refused, failed.",
            ("result",),
            registry=registry,
        )
        self.evidence_lag = Gauge(
            "tidegate_evidence_lag_seconds",
            "Age of the newest slot that every ready pod of a Model has reported.",
            ("namespace", "model"),
            registry=registry,
        )
        self.evidence_told = Gauge(
            "tidegate_evidence_requests",
            "Requests in all windows that this replica has got from the pods of a Model.",
            ("namespace", "model"),
            registry=registry,
        )
        self.evidence_skewed = Gauge(
            "tidegate_evidence_skewed_pods",
            "Pods of a Model that are left out of the evidence because their clocks are wrong.",
            ("namespace", "model"),
            registry=registry,
        )
        self.evidence_lost = Gauge(
            "tidegate_evidence_lost_requests",
            "Requests that pods counted and could not report, since they were heard first.",
            ("namespace", "model"),
            registry=registry,
        )

    def forget(self, namespace: str, model: str) -> None:
        """Show nothing more of a Model that is gone."""
        gone = {"namespace": namespace, "model": model}
        for series in (
            self.rollout_weight,
            self.drift_level,
            self.retrains,
            self.evidence_lag,
            self.evidence_told,
            self.evidence_skewed,
            self.evidence_lost,
        ):
            series.remove_by_labels(gone)

    def follow(self, queue: WorkQueue) -> None:
        """Show the depth of this queue."""
        self.queue_depth.set_function(lambda: queue.depth)

    def follow_log(self, log: DecisionLog) -> None:
        """Show how far behind this log is."""
        self.decision_records_waiting.set_function(lambda: log.waiting)

    def logged(self, result: str) -> None:
        """Count a line of the decision log."""
        self.decision_records.labels(result).inc()

    def asked(self, verb: str, resource: str, code: int) -> None:
        """Count a request to the API server."""
        self.api_requests.labels(verb, resource, str(code)).inc()

    def questioned(self, result: str) -> None:
        """Count a question to Prometheus."""
        self.questions.labels(result).inc()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)
