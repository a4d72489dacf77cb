"""Which revision a spec asks for."""

from typing import Any

from tests.unit.controllers.model.scenes import NEW_DIGEST, OLD_DIGEST, model

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.controllers.model.state import Revision
from tidegate.controllers.model.wanted import Images, resolve

IMAGES = Images("runtime:2", "sidecar:2")


def job(name: str, digest: str, ended: str, **changes: Any) -> TrainingJob:
    output = {"uri": f"s3://lake/{name}/", "digest": digest, "format": "Skops"}
    return TrainingJob.model_validate(
        {
            "metadata": {"name": name, "namespace": "growth"},
            "spec": {
                "modelRef": {"name": changes.get("of", "churn")},
                "data": {"inputs": [{"name": "train", "uri": "s3://lake/t.csv"}], "target": "y"},
                "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
                "output": {"uri": "s3://lake/"},
            },
            "status": {
                "state": changes.get("state", "Succeeded"),
                "completionTime": ended,
                "output": output | {"format": changes.get("format", "Skops")},
            },
        }
    )


V1 = job("v1", OLD_DIGEST, "2026-11-01T00:00:00Z")
V2 = job("v2", NEW_DIGEST, "2026-11-02T00:00:00Z")


def served(of: TrainingJob) -> Revision:
    wanted = resolve(model(), [of], {}, None, IMAGES).revision
    assert wanted is not None
    return wanted


def test_the_newest_succeeded_job_is_wanted() -> None:
    found = resolve(model(), [V2, V1], {}, None, IMAGES)
    assert found.revision is not None
    assert (found.revision.training_job, found.revision.digest) == ("v2", NEW_DIGEST)


def test_failed_jobs_and_those_of_other_models_are_not() -> None:
    failed = job("v3", NEW_DIGEST, "2026-11-03T00:00:00Z", state="Failed")
    other = job("v4", NEW_DIGEST, "2026-11-04T00:00:00Z", of="fraud")
    found = resolve(model(), [V1, failed, other], {}, None, IMAGES)
    assert found.revision is not None
    assert found.revision.training_job == "v1"


def test_without_a_job_it_waits() -> None:
    found = resolve(model(), [], {}, None, IMAGES)
    assert (found.revision, found.reason, found.accepted) == (None, Reason.AWAITING_TRAINING, True)


def test_tidying_up_jobs_does_not_bring_an_old_model_back() -> None:
    serving = served(V2)
    known = {serving.name: serving}
    for left in ([], [V1]):
        assert resolve(model(), left, known, serving.name, IMAGES).revision == serving


def test_a_known_revision_keeps_its_images_when_the_operator_is_upgraded() -> None:
    serving = served(V1)
    known = {serving.name: serving}
    newer = Images("runtime:3", "sidecar:3")
    assert resolve(model(), [V1], known, serving.name, newer).revision == serving


def test_joblib_needs_the_models_consent() -> None:
    unsafe = job("v1", OLD_DIGEST, "2026-11-01T00:00:00Z", format="Joblib")
    refused = resolve(model(), [unsafe], {}, None, IMAGES)
    assert (refused.reason, refused.accepted) == (Reason.UNSAFE_FORMAT, False)
    consents = model(artifact={"fromTraining": {}, "allowUnsafe": True})
    assert resolve(consents, [unsafe], {}, None, IMAGES).revision is not None


def test_equal_artifacts_have_equal_names_wherever_they_lie() -> None:
    moved = job("v9", OLD_DIGEST, "2026-11-09T00:00:00Z")
    assert served(moved).name == served(V1).name


def test_a_wrong_uri_can_be_corrected() -> None:
    def pinned(uri: str) -> Revision:
        artifact = {"uri": uri, "digest": OLD_DIGEST}
        found = resolve(model(artifact=artifact), [], known, None, IMAGES).revision
        assert found is not None
        return found

    known: dict[str, Revision] = {}
    wrong = pinned("s3://lake/typo/")
    known[wrong.name] = wrong
    right = pinned("s3://lake/right/")
    assert (right.name, right.uri, right.number) == (wrong.name, "s3://lake/right/", wrong.number)
