"""What goes wrong on the way is named, and leaves nothing half done."""

import hashlib
import threading

import pytest
from tests.fair_clock import seconds_until_exit
from tests.integration.runtime import tables
from tests.integration.runtime.conftest import Pod
from tests.integration.runtime.programs import HoldingProxy, ended
from tests.patience import DEADLINE_SECONDS

pytestmark = pytest.mark.s3

PERMANENT, TRANSIENT = 64, 75


@pytest.fixture
def trained(pod: Pod) -> Pod:
    pod.store.put("data", "train.csv", tables.csv(tables.diabetes()))
    pod.spec = tables.spec("sklearn.linear_model.Ridge")
    for stage in ("fetch", "train"):
        end = pod.run(stage)
        assert end.code == 0, end.output
    return pod


def test_fetch_names_the_input_that_is_not_there(pod: Pod) -> None:
    pod.spec = tables.spec("sklearn.linear_model.Ridge", uri="s3://data/absent.csv")
    end = pod.run("fetch")
    assert end.code == PERMANENT
    assert end.line["reason"] == "InputNotFound"
    assert end.line["field"] == "spec.data.inputs[0].uri"
    assert "s3://data/absent.csv" in end.line["message"]


def test_fetch_names_the_bucket_that_is_not_there(pod: Pod) -> None:
    pod.spec = tables.spec("sklearn.linear_model.Ridge", uri="s3://no-such-bucket/train.csv")
    end = pod.run("fetch")
    assert (end.code, end.line["reason"]) == (PERMANENT, "InputNotFound")
    assert "bucket does not exist" in end.line["message"]


def test_fetch_says_that_access_is_denied(pod: Pod) -> None:
    pod.store.put("data", "train.csv", b"a,target\n1,2\n")
    pod.spec = tables.spec("sklearn.linear_model.Ridge")
    pod.environment = pod.store.environment(secret="wrong")
    end = pod.run("fetch")
    assert (end.code, end.line["reason"]) == (PERMANENT, "AccessDenied")
    assert "credentialsRef" in end.line["message"]


def test_fetch_tells_both_digests_when_they_differ(pod: Pod) -> None:
    body, wanted = b"a,target\n1,2\n", f"sha256:{'0' * 64}"
    pod.store.put("data", "train.csv", body)
    pod.spec = tables.spec("sklearn.linear_model.Ridge")
    pod.spec["data"]["inputs"][0]["digest"] = wanted
    end = pod.run("fetch")
    assert (end.code, end.line["reason"]) == (PERMANENT, "DigestMismatch"), end.output
    assert end.line["field"] == "spec.data.inputs[0].digest"
    assert wanted in end.line["message"]
    assert hashlib.sha256(body).hexdigest() in end.line["message"]
    assert list((pod.folder / "work/data").iterdir()) == []


def test_fetch_waits_for_a_store_that_comes_back(pod: Pod) -> None:
    pod.store.put("data", "train.csv", b"a,target\n1,2\n")
    pod.spec = tables.spec("sklearn.linear_model.Ridge")
    pod.store.stop()
    process = pod.start("fetch", "--patience", "10m")
    assert process.stdout is not None
    assert "trying again" in process.stdout.readline()
    pod.store.start()
    end = ended(process, pod.log)
    assert end.code == 0, end.output
    assert (pod.folder / "work/data/train.csv").read_bytes() == b"a,target\n1,2\n"


def test_fetch_gives_up_on_a_store_that_stays_down(pod: Pod) -> None:
    pod.spec = tables.spec("sklearn.linear_model.Ridge")
    pod.environment = pod.store.environment(port=1)
    process = pod.start("fetch", "--patience", "1s")
    assert process.stdout is not None
    assert "trying again" in process.stdout.readline()
    assert seconds_until_exit(process) < 10
    end = ended(process, pod.log)
    assert (end.code, end.line["reason"]) == (TRANSIENT, "ObjectStoreUnreachable")


def test_publish_waits_for_a_store_that_comes_back(trained: Pod) -> None:
    trained.store.stop()
    process = trained.start("publish", "--patience", "10m")
    assert process.stdout is not None
    assert "trying again" in process.stdout.readline()
    trained.store.start()
    end = ended(process, trained.log)
    assert end.code == 0, end.output
    assert trained.fetch_model(end.line["digest"]).code == 0


@pytest.mark.parametrize("uploads", [0, 1, 2, 3])
def test_a_publish_that_was_killed_leaves_no_model(trained: Pod, uploads: int) -> None:
    proxy = HoldingProxy(trained.store.port, uploads)
    trained.environment = trained.store.environment(port=proxy.port)
    process = trained.start("publish")
    drained = threading.Thread(target=process.communicate, daemon=True)
    drained.start()
    assert proxy.holding.wait(DEADLINE_SECONDS)
    process.kill()
    drained.join(DEADLINE_SECONDS)
    proxy.close()
    trained.environment = {}
    assert len(trained.store.keys("models")) == uploads
    assert "churn/churn-1/tidegate.json" not in trained.store.keys("models")
    refused = trained.fetch_model(f"sha256:{'0' * 64}")
    assert refused.code == PERMANENT
    assert refused.line["reason"] == ("ArtifactInvalid" if uploads else "InputNotFound")
    again = trained.run("publish")
    assert trained.fetch_model(again.line["digest"]).code == 0


def test_publishing_again_replaces_the_folder(trained: Pod) -> None:
    first = trained.run("publish").line["digest"]
    trained.store.put("models", "churn/churn-1/left-behind.bin", b"x")
    second = trained.run("publish").line["digest"]
    assert first == second
    assert trained.fetch_model(second).code == 0
    assert not (trained.models / "left-behind.bin").exists()


def test_publish_names_the_output_whose_bucket_is_not_there(trained: Pod) -> None:
    trained.spec["output"]["uri"] = "s3://no-such-bucket/churn/"
    end = trained.run("publish")
    assert (end.code, end.line["reason"]) == (PERMANENT, "InputNotFound")
    assert end.line["field"] == "spec.output"


def test_a_tampered_model_never_reaches_the_server(trained: Pod) -> None:
    digest = trained.run("publish").line["digest"]
    trained.store.put("models", "churn/churn-1/model.skops", b"something else")
    end = trained.fetch_model(digest)
    assert (end.code, end.line["reason"]) == (PERMANENT, "DigestMismatch")
    assert digest in end.line["message"]
    assert list(trained.models.iterdir()) == []


def test_a_model_with_one_file_more_is_refused(trained: Pod) -> None:
    digest = trained.run("publish").line["digest"]
    trained.store.put("models", "churn/churn-1/extra.py", b"print()")
    assert trained.fetch_model(digest).line["reason"] == "DigestMismatch"


def test_a_model_beyond_the_size_limit_is_refused(trained: Pod) -> None:
    digest = trained.run("publish").line["digest"]
    end = trained.fetch_model(digest, "--max-bytes", "100")
    assert (end.code, end.line["reason"]) == (PERMANENT, "ArtifactInvalid")
    assert "100 bytes are allowed" in end.line["message"]


def test_fetching_a_model_twice_asks_the_store_once(trained: Pod) -> None:
    digest = trained.run("publish").line["digest"]
    assert trained.fetch_model(digest).code == 0
    trained.environment = trained.store.environment(port=1)
    assert trained.fetch_model(digest, "--patience", "0s").code == 0
