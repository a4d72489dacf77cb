import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.runtime.jobs import job, people, state, workspace

from tidegate.evidence.profile import Profile
from tidegate.runtime.artifact import digest_of
from tidegate.runtime.outcome import StageError
from tidegate.runtime.predictor import load
from tidegate.runtime.train import packages_digest, train
from tidegate.statistics.ranking import Ranks

RIDGE = "sklearn.linear_model.Ridge"


def refusal(folder: Path, frame: pd.DataFrame | None = None, **more: Any) -> StageError:
    estimator = more.pop("estimator", "sklearn.linear_model.LogisticRegression")
    with pytest.raises(StageError) as caught:
        train(job(estimator, **more), workspace(folder, train=people() if frame is None else frame))
    assert not (folder / "state/train.json").exists()
    assert not (folder / "out/profile.json").exists()
    return caught.value


def test_classifier_leaves_all_files_of_an_artifact(tmp_path: Path) -> None:
    features = ["age", "plan", "paid"]
    line = train(job(data={"features": features}), workspace(tmp_path, train=people()))
    out = tmp_path / "out"
    names = {"metrics.json", "model.skops", "profile.json", "tidegate.json"}
    assert {p.name for p in out.iterdir()} == names
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == line["metrics"]
    scores = {"accuracy", "balanced_accuracy", "f1", "log_loss", "roc_auc"}
    assert set(metrics) == scores
    assert metrics["accuracy"] > 0.8
    assert json.loads((out / "tidegate.json").read_text()) == {
        "version": 1,
        "format": "Skops",
        "task": "classification",
        "features": features,
        "kinds": {"age": "number", "plan": "category", "paid": "category"},
        "classes": ["no", "yes"],
        "target": "label",
    }
    kept = state(tmp_path, "train")
    assert kept == {"metrics": metrics, "packages": packages_digest(), "seed": 42}


def test_profile_counts_train_rows_and_held_out_predictions(tmp_path: Path) -> None:
    train(job(), workspace(tmp_path, train=people()))
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.rows == 160
    assert [sum(f.counts) for f in profile.features] == [160] * 4
    assert sum(profile.predictions.counts.values()) == 40
    assert set(profile.predictions.counts) == {"yes", "no"}


@pytest.mark.parametrize("form", ["Skops", "ONNX"])
def test_profile_ranks_held_out_rows_of_two_labels_by_their_scores(
    tmp_path: Path, form: str
) -> None:
    line = train(job(output={"format": form}), workspace(tmp_path, train=people(2000)))
    ranking = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text())).ranking
    assert ranking is not None
    assert ranking.labels == ("no", "yes")
    assert sum(ranking.negatives + ranking.positives) == 400
    metrics = line["metrics"]
    assert isinstance(metrics, dict)
    auc = Ranks.of(ranking.negatives, ranking.positives).auc
    assert auc == pytest.approx(metrics["roc_auc"], abs=0.004)


def test_a_regressor_of_two_values_ranks_by_its_answers(tmp_path: Path) -> None:
    frame = people().assign(paid=lambda f: (f["score"] > 3).astype(int))
    data = {"target": "paid", "features": ["age", "plan"]}
    train(job(RIDGE, data=data), workspace(tmp_path, train=frame))
    ranking = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text())).ranking
    assert ranking is not None
    assert ranking.labels == ("0", "1")
    assert Ranks.of(ranking.negatives, ranking.positives).auc > 0.9


@pytest.mark.parametrize("estimator", ["sklearn.svm.LinearSVC", RIDGE])
def test_models_without_two_labels_and_scores_have_no_ranking(
    tmp_path: Path, estimator: str
) -> None:
    data = {"features": ["age", "plan"], "target": "score" if estimator == RIDGE else "label"}
    train(job(estimator, data=data), workspace(tmp_path, train=people()))
    written = json.loads((tmp_path / "out/profile.json").read_text())
    assert "ranking" not in written


def seen_at(rows: int) -> pd.Series:
    """Every seven minutes a row, from a Monday's midnight in Berlin on."""
    return pd.Series(pd.date_range("2026-06-01", periods=rows, freq="7min", tz="Europe/Berlin"))


def test_a_timestamp_makes_hours_in_the_profile_and_no_feature(tmp_path: Path) -> None:
    frame = people(2000).assign(seen_at=seen_at(2000))
    data = {"timestamp": "seen_at"}
    train(job("sklearn.tree.DecisionTreeClassifier", data=data), workspace(tmp_path, train=frame))
    manifest = json.loads((tmp_path / "out/tidegate.json").read_text())
    assert manifest["features"] == ["age", "plan", "paid", "score"]
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.hours is not None
    table = profile.hours.table()
    assert table.cycle == 24
    assert table.features.sum() == 4 * 1600
    assert table.predictions.sum() == 400
    assert table.known == 24


def test_a_row_is_counted_in_the_hour_of_its_timestamp_by_utc(tmp_path: Path) -> None:
    frame = people(2000).assign(seen_at="2026-06-01T01:30:00+02:00")
    data = {"timestamp": "seen_at", "features": ["age"]}
    train(job(data=data), workspace(tmp_path, train=frame))
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.hours is not None
    assert np.flatnonzero(profile.hours.table().features.sum(1)).tolist() == [23]


def test_too_few_rows_for_hours_make_a_profile_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = people().assign(seen_at=seen_at(200))
    train(job(data={"timestamp": "seen_at"}), workspace(tmp_path, train=frame))
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.hours is None
    assert "hours in the reference profile: too few rows" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["Skops", "ONNX", "Joblib"])
def test_reloaded_model_takes_gaps_and_unknown_levels(tmp_path: Path, form: str) -> None:
    train(job(output={"format": form}), workspace(tmp_path, train=people()))
    answer = load(tmp_path / "out", allow_unsafe=True).predict(
        {
            "age": [None, 70, "35"],
            "plan": [None, "gold", "pro"],
            "paid": [True, None, False],
            "score": [1.0, 5.0, float("nan")],
        }
    )
    assert set(answer.values.tolist()) <= {"yes", "no"}
    assert answer.probabilities is not None
    assert answer.probabilities.shape == (3, 2)
    assert answer.probabilities.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("form", ["Skops", "ONNX", "Joblib"])
def test_the_same_data_and_seed_make_the_same_model(tmp_path: Path, form: str) -> None:
    digests = set()
    for run in ("first", "second"):
        made = job(
            "sklearn.ensemble.RandomForestClassifier",
            sklearn={"parameters": {"n_estimators": 3}},
            output={"format": form},
        )
        work = workspace(tmp_path / run, train=people())
        train(made, work)
        digests.add(digest_of(work.out))
    assert len(digests) == 1


def test_probabilities_of_single_precision_can_be_measured(tmp_path: Path) -> None:
    # A forest's votes add up to 1.0000001 for one label, and -1e-7 for the other.
    forest = job(
        "sklearn.ensemble.RandomForestClassifier",
        sklearn={"parameters": {"n_estimators": 20}},
        output={"format": "ONNX"},
    )
    line = train(forest, workspace(tmp_path, train=people(600)))
    assert isinstance(line["metrics"], dict)
    assert "log_loss" in line["metrics"]


def test_regressor_is_measured_as_one(tmp_path: Path) -> None:
    data = {"target": "score", "features": ["age", "plan"]}
    line = train(job(RIDGE, data=data), workspace(tmp_path, train=people()))
    metrics = line["metrics"]
    assert isinstance(metrics, dict)
    assert set(metrics) == {"r2", "mae", "rmse"}
    assert metrics["r2"] > 0.8
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.predictions.kind == "number"


def test_many_classes_are_scored_as_macro_averages(tmp_path: Path) -> None:
    frame = people().assign(label=lambda f: pd.cut(f["score"], 3, labels=["a", "b", "c"]))
    line = train(job(), workspace(tmp_path, train=frame))
    metrics = line["metrics"]
    assert isinstance(metrics, dict)
    assert {"f1", "roc_auc", "log_loss"} <= set(metrics)


@pytest.mark.parametrize("labels", [[0, 1], [True, False], [0.0, 1.0]])
def test_labels_keep_their_type(tmp_path: Path, labels: list[Any]) -> None:
    frame = people().assign(label=lambda f: np.where(f["label"] == "yes", *labels))
    frame["label"] = frame["label"].astype(type(labels[0]))
    train(job(), workspace(tmp_path, train=frame))
    classes = json.loads((tmp_path / "out/tidegate.json").read_text())["classes"]
    assert classes == sorted(int(x) if isinstance(x, float) else x for x in labels)


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    frame = people()
    frame.loc[:19, "label"] = None
    train(job(), workspace(tmp_path, train=frame))
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.rows == 144


def test_test_table_is_what_is_measured_on(tmp_path: Path) -> None:
    inputs = [{"name": n, "uri": f"s3://data/{n}.csv"} for n in ("train", "test")]
    test = people(50)
    test.loc[0, "label"] = "never seen"
    train(job(data={"inputs": inputs}), workspace(tmp_path, train=people(), test=test))
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.rows == 200
    assert sum(profile.predictions.counts.values()) == 50
    assert profile.metrics["accuracy"] <= 0.98


def test_same_seed_gives_the_same_metrics(tmp_path: Path) -> None:
    forest = "sklearn.ensemble.RandomForestClassifier"
    more = {"sklearn": {"parameters": {"n_estimators": 5}}}
    first, second = (
        train(job(forest, **more), workspace(tmp_path / name, train=people())) for name in "ab"
    )
    other = train(
        job(forest, **more, reproducibility={"seed": 7}), workspace(tmp_path / "c", train=people())
    )
    assert first == second
    assert first != other


def test_cross_validation_is_reported(tmp_path: Path) -> None:
    crossed = {"folds": 3, "metric": "f1"}
    line = train(job(crossValidation=crossed), workspace(tmp_path, train=people()))
    metrics = line["metrics"]
    assert isinstance(metrics, dict)
    assert 0.7 < metrics["cv_f1_mean"] <= 1
    assert metrics["cv_f1_std"] >= 0


def test_preprocessing_none_passes_numbers_and_booleans(tmp_path: Path) -> None:
    data = {"features": ["age", "paid"]}
    train(job(data=data, sklearn={"preprocessing": "None"}), workspace(tmp_path, train=people()))
    kinds = json.loads((tmp_path / "out/tidegate.json").read_text())["kinds"]
    assert kinds == {"age": "number", "paid": "number"}


@pytest.mark.parametrize(
    ("more", "reason", "field", "words"),
    [
        pytest.param(
            {"estimator": "sklearn.linear_model.LogisticRegresion"},
            "EstimatorUnknown",
            "spec.trainer.sklearn.estimator",
            "did you mean sklearn.linear_model.LogisticRegression",
            id="misspelt estimator",
        ),
        pytest.param(
            {"estimator": "sklearn.preprocessing.StandardScaler"},
            "EstimatorUnknown",
            "spec.trainer.sklearn.estimator",
            "neither a classifier nor a regressor",
            id="no estimator of labels",
        ),
        pytest.param(
            {"estimator": "sklearn.base.ClassifierMixin"},
            "EstimatorUnknown",
            "spec.trainer.sklearn.estimator",
            "no estimator",
            id="a mixin",
        ),
        pytest.param(
            {"sklearn": {"parameters": {"max_iterations": 5}}},
            "ParameterInvalid",
            "spec.trainer.sklearn.parameters.max_iterations",
            "Did you mean 'max_iter'",
            id="unknown parameter",
        ),
        pytest.param(
            {"sklearn": {"parameters": {"C": -1}}},
            "ParameterInvalid",
            "spec.trainer.sklearn.parameters.C",
            "must be a float in the range",
            id="parameter out of range",
        ),
        pytest.param(
            {"estimator": "sklearn.ensemble.VotingClassifier"},
            "ParameterInvalid",
            "spec.trainer.sklearn.parameters",
            "estimators",
            id="parameter that YAML can't say",
        ),
        pytest.param(
            {"estimator": RIDGE},
            "DataInvalid",
            "spec.data.target",
            "use a classifier",
            id="regressor on text",
        ),
        pytest.param(
            {"data": {"target": "score"}},
            "DataInvalid",
            "spec.data.target",
            "use a regressor",
            id="classifier on fractions",
        ),
        pytest.param(
            {"sklearn": {"preprocessing": "None"}},
            "DataInvalid",
            "spec.trainer.sklearn.preprocessing",
            "'plan' is no number",
            id="text without preprocessing",
        ),
        pytest.param(
            {"crossValidation": {"metric": "r2"}},
            "ParameterInvalid",
            "spec.crossValidation.metric",
            "accuracy",
            id="cross-validation by another task's metric",
        ),
        pytest.param(
            {"gates": [{"name": "g", "metrics": [{"name": "log_loss", "max": "0.001"}]}]},
            "GateFailed",
            "spec.gates[0].metrics[0]",
            "at most 0.001 is required",
            id="gate failed",
        ),
        pytest.param(
            {"gates": [{"name": "g", "metrics": [{"name": "recall", "min": "0.1"}]}]},
            "MetricsMissing",
            "spec.gates[0].metrics[0].name",
            "accuracy, balanced_accuracy",
            id="gate on a metric that is not measured",
        ),
    ],
)
def test_refusal_names_field_and_fix(
    tmp_path: Path, more: dict[str, Any], reason: str, field: str, words: str
) -> None:
    error = refusal(tmp_path, **more)
    assert (error.reason, error.field) == (reason, field)
    assert words in str(error)


def test_held_out_rows_of_another_kind_are_named(tmp_path: Path) -> None:
    inputs = [{"name": n, "uri": f"s3://data/{n}.csv"} for n in ("train", "test")]
    test = people(20)
    test["age"] = test["age"].astype(object)
    test.loc[3, "age"] = "old"
    work = workspace(tmp_path, train=people(), test=test)
    with pytest.raises(StageError, match="feature 'age' takes numbers; row 3 has 'old'") as caught:
        train(job(data={"inputs": inputs}), work)
    assert caught.value.reason == "DataInvalid"


def test_label_that_occurs_once_can_not_be_split_by_label(tmp_path: Path) -> None:
    frame = people()
    frame.loc[0, "label"] = "once"
    error = refusal(tmp_path, frame)
    assert (error.reason, error.field) == ("DataInvalid", "spec.data.holdout")
    at_random = {"holdout": {"stratify": False}}
    train(job(data=at_random), workspace(tmp_path / "again", train=frame))
    assert (tmp_path / "again/out/profile.json").exists()


def test_the_holdout_is_as_large_as_it_is_wanted(tmp_path: Path) -> None:
    half = {"holdout": {"fraction": "0.5"}}
    train(job(data=half), workspace(tmp_path, train=people()))
    profile = Profile.from_json(json.loads((tmp_path / "out/profile.json").read_text()))
    assert profile.rows == sum(profile.predictions.counts.values()) == 100


def test_estimator_that_can_not_learn_this_says_so(tmp_path: Path) -> None:
    frame = people().assign(label="always")
    assert refusal(tmp_path, frame).reason == "TrainingFailed"


def test_format_that_can_not_hold_the_model_says_so(tmp_path: Path) -> None:
    error = refusal(
        tmp_path,
        people(40),
        estimator="sklearn.isotonic.IsotonicRegression",
        data={"target": "score", "features": ["age"]},
        sklearn={"preprocessing": "None"},
        output={"format": "ONNX"},
    )
    assert (error.reason, error.field) == ("TrainingFailed", "spec.output.format")
    assert "use the format Skops" in str(error)
