"""A metric of one's own, which a real Prometheus has scraped from the pods, judges a rollout."""

from pathlib import Path

from hack.demo.world import tables
from hack.prometheus import folder
from tests.e2e.objects import TREE, canary, model, training, training_job
from tests.e2e.operator import Operator
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import clients, decided, revision, served, trained
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest
from tests.integration.prometheus.server import PrometheusServer

MODEL, METRICS_PORT = "watched", 9090
ANSWERED = 'tidegate_requests_total{revision="{{revision}}"'
SUCCESS: Manifest = {
    "name": "success",
    "source": "Prometheus",
    # Series of answers that there have not been do not exist: that is none, and not unknown.
    "query": f'(sum(increase({ANSWERED},code="200"}}[{{{{window}}}}])) or vector(0))'
    f" / sum(increase({ANSWERED}}}[{{{{window}}}}]))",
    "window": "10s",
    "range": {"min": "0", "max": "1"},
    "maxAbsoluteDrop": "0.2",
    "onBreach": "Rollback",
}
DELIVERY = canary({"setWeight": 50}, {"analysis": {}}, metrics=(SUCCESS,))


def test_candidate_that_a_metric_of_prometheus_speaks_against_is_rolled_back(
    operator: Operator,
    store: Store,
    artifacts: dict[str, Manifest],
    prometheus_address: str,
    tmp_path: Path,
) -> None:
    place = store.place
    narrow = tables.stored()["first.csv"]
    store.put({"narrow": narrow.drop(columns=narrow.columns[0])})
    place.apply(training_job("narrow", training("narrow", TREE)))
    bad = trained(place, "narrow")
    candidate = revision(MODEL, bad)
    prometheus = PrometheusServer(folder(), tmp_path, prometheus_address)
    with served(place, model(MODEL, artifacts["tree"], DELIVERY)) as stable:
        place.apply(model(MODEL, bad, DELIVERY))
        targets = eventually(lambda: _targets(place, stable, candidate), "pods of both revisions")
        scrape = {"job_name": "pods", "scrape_interval": "1s", "scrape_timeout": "1s"}
        try:
            prometheus.start(scrape | {"static_configs": [{"targets": targets}]})
            with clients(place, MODEL) as load:
                taken = decided(place, MODEL, "RollBack", candidate)
        finally:
            prometheus.stop()
        (metric,) = taken.metrics
        assert (taken.reason, metric.name, metric.verdict) == ("MetricBreached", "success", "Fail")
        assert float(metric.value or "nan") < 0.1, "it refuses requests with a column more"
        assert float(metric.stable_value or "nan") > 0.9
        assert load.failures, "the candidate has answered"
        status = place.model(MODEL).status
        assert status.stable is not None
        assert (status.stable.revision, status.stable.weight) == (stable, 100)


def _targets(place: Place, *revisions: str) -> list[str] | None:
    """Where the pods of all revisions show their metrics, once all are there."""
    pods = [place.pods_of(name) for name in revisions]
    found = [pod["status"].get("podIP") for of_one in pods for pod in of_one]
    return [f"{ip}:{METRICS_PORT}" for ip in found] if all(pods) and all(found) else None
