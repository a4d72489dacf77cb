"""`why` and `status`: a rollout's story as the operator has written it."""

from tests.unit.cli.scenes import Known, rollout
from tests.unit.controllers.model.scenes import NEW, OLD, Story, model

from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model_status import DriftStatus
from tidegate.cli.status import status
from tidegate.cli.why import why


async def test_a_rollback_is_explained_with_its_numbers() -> None:
    story = rollout({OLD.name: 0.001, NEW.name: 0.2}, looks=8)
    text = (await why(Known([story.model]), "churn", last=20)).text
    assert f"rolled back {NEW.name}, 10 % to 0 % (MetricBreached)" in text
    assert "errors in" in text
    assert "on stable in the same minutes" in text
    assert "percentage points more often; tolerance 2." in text
    assert "A good candidate is rolled back like this in fewer than 1 of 100 rollouts." in text
    assert f"Now: {OLD.name} serves; no rollout is running." in text


async def test_a_waiting_rollout_says_what_it_lacks() -> None:
    story = rollout({OLD.name: 0.001, NEW.name: 0.001}, looks=6)
    answer = await why(Known([story.model]), "churn", last=20)
    assert f"Now: {NEW.name} gets 10 %, step 2/4 analysis" in answer.text
    assert "To pass: " in answer.text
    assert answer.data["rollout"]["state"] == "Stepping"
    assert "cursor" not in answer.data["rollout"] or not answer.data["rollout"]["cursor"]
    assert set(answer.data["remainingSamples"]) == {"errors"}


async def test_only_the_newest_decisions_are_told() -> None:
    story = rollout({OLD.name: 0.001, NEW.name: 0.2}, looks=8)
    text = (await why(Known([story.model]), "churn", last=1)).text
    assert [line[:6] for line in text.splitlines() if line.startswith("d-")] == ["d-0004"]


async def test_under_an_edited_spec_no_guarantee_is_claimed() -> None:
    story = rollout({OLD.name: 0.001, NEW.name: 0.2}, looks=8)
    delivery = story.model.spec.delivery
    looser = delivery.analysis.model_copy(update={"alpha": "0.1"})
    spec = story.model.spec.model_copy(
        update={"delivery": delivery.model_copy(update={"analysis": looser})}
    )
    edited = story.model.model_copy(update={"spec": spec})
    assert "fewer than" not in (await why(Known([edited]), "churn", last=20)).text


async def test_a_model_without_pods_is_not_said_to_serve() -> None:
    story = Story()
    story.look()
    text = (await why(Known([story.model]), "churn", last=20)).text
    assert f"Now: {OLD.name} is stable and has no ready pod; no rollout is running." in text


async def test_a_policy_that_is_not_there_is_told_of() -> None:
    story = Story(model(monitoring={"driftPolicyRef": {"name": "nopolicy"}}))
    story.until_promoted_first()
    text = (await why(Known([story.model]), "churn", last=20)).text
    assert text.endswith("names nopolicy, and there is no such DriftPolicy in namespace growth.")


async def test_a_new_model_has_no_decisions() -> None:
    assert "nothing has been decided" in (await why(Known([model()]), "churn", last=5)).text


async def test_the_drift_policy_is_heard_too() -> None:
    drift = DriftStatus(policy="clinic", level="Breach")
    watched = model()
    watched = watched.model_copy(
        update={"status": watched.status.model_copy(update={"drift": drift})}
    )
    policy = DriftPolicy.model_validate(
        {
            "metadata": {"name": "clinic"},
            "spec": {"signals": [{"name": "inputs", "type": "DataDrift", "breach": "0.25"}]},
            "status": {
                "models": [
                    {
                        "name": "churn",
                        "level": "Breach",
                        "cause": "SharedDrift",
                        "signals": [{"name": "inputs", "level": "Breach", "message": "Age moved."}],
                        "season": {"source": "Traffic", "known": 5, "of": 24, "message": "Soon."},
                        "lastAction": {"do": "Retrain", "at": "then", "reason": "RetrainStarted"},
                        "nextRetrainAllowedAt": "tomorrow",
                    }
                ]
            },
        }
    )
    text = (await why(Known([watched], [policy]), "churn", last=5)).text
    assert "DriftPolicy clinic: Breach" in text
    assert "What happened: the inputs have moved for every version alike (SharedDrift)." in text
    assert "Hours: 5 of 24 known. Soon." in text
    assert "inputs: Breach. Age moved." in text
    assert "The next retraining begins at tomorrow at the earliest." in text


async def test_status_has_a_line_for_each_model() -> None:
    story = rollout({OLD.name: 0.001, NEW.name: 0.001}, looks=6)
    answer = await status(Known([story.model]), everywhere=False)
    head, line = answer.text.splitlines()
    assert head.split()[:3] == ["NAME", "READY", "STABLE"]
    assert OLD.name in line
    assert NEW.name in line
    assert "2/4 analysis" in line
    assert "MESSAGE" in answer.wide


async def test_an_empty_namespace_is_said() -> None:
    assert "no Models in namespace growth" in (await status(Known(), everywhere=False)).text
