"""A look on a real S3 server: a published model, a log as sidecars write it, the real program."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zstandard
from tests.integration.runtime import tables
from tests.integration.runtime.conftest import Pod
from tests.integration.runtime.programs import SECRET, Ended, run_runtime

from tidegate.evidence.profile import Kind
from tidegate.runtime.reference import REFERENCE, write_reference
from tidegate.sidecar.monitor.prediction_log.lines import Answer, lines
from tidegate.sidecar.monitor.prediction_log.parts import Parts

pytestmark = pytest.mark.s3

HOUR = timedelta(hours=1)
THROUGH = datetime(2026, 11, 21, 12, tzinfo=UTC)
AFTER = THROUGH - HOUR
FOLDER = "model=churn/revision=churn-1/"


def people(seed: int, rows: int, correlation: float = 0.8) -> pd.DataFrame:
    """Two numbers that go together, a category, and a target."""
    rng = np.random.default_rng(seed)
    income, rent = rng.standard_normal((2, rows))
    rent = correlation * income + math.sqrt(1 - correlation**2) * rent
    plan = rng.choice(["basic", "pro"], rows)
    target = np.where(income > 0, "yes", "no")
    return pd.DataFrame({"income": income, "rent": rent, "plan": plan, "target": target})


@pytest.fixture
def published(pod: Pod) -> Pod:
    """A pod whose init container has fetched a model with its reference rows."""
    pod.models.mkdir()
    columns = {n: c.to_numpy() for n, c in people(1, 1600).drop(columns="target").items()}
    kinds: dict[str, Kind] = {"income": "number", "rent": "number", "plan": "category"}
    write_reference(pod.models / REFERENCE, {str(n): c for n, c in columns.items()}, kinds, 1600, 1)
    return pod


def write(pod: Pod, frame: pd.DataFrame, at: datetime, track: str = "stable") -> None:
    """What a sidecar uploads of requests with two rows each, spread over the hour from `at`."""
    parts = Parts(FOLDER, f"pod-{at.timestamp():.0f}-{track}")
    rows: Any = frame.drop(columns="target").to_dict("records")
    step = HOUR.total_seconds() / len(rows)
    for number in range(0, len(rows), 2):
        arrival = at.timestamp() + number * step
        pair = rows[number : number + 2]
        id_ = f"{at.timestamp():.0f}-{number}"
        answer = Answer(arrival, id_, None, "churn", "churn-1", track, pair, ["yes"] * len(pair))
        parts.add(lines(answer), arrival, now=0.0)
        if number % 400 == 0:
            parts.close_older_than(float("inf"))
    parts.close_older_than(float("inf"))
    for part in _taken(parts):
        pod.store.put("logs", part.key, part.body)


def _taken(parts: Parts) -> Iterator[Any]:
    return iter(parts.take, None)


def look(pod: Pod, *, secret: str = SECRET, **more: Any) -> Ended:
    question = {
        "folder": f"s3://logs/{FOLDER}",
        "after": AFTER.isoformat(),
        "through": THROUGH.isoformat(),
        "minSamples": 500,
        "include": [],
        "exclude": [],
        **more,
    }
    arguments = ["look", "--model-dir", str(pod.models), "--work", str(pod.folder)]
    variables = {**pod.store.environment(secret=secret), "TIDEGATE_LOOK": json.dumps(question)}
    return run_runtime(arguments, variables, pod.log)


def test_relations_that_have_turned_since_training_are_seen_and_named(pod: Pod) -> None:
    """From the table to the finding."""
    pod.store.put("data", "train.csv", tables.csv(people(1, 2000)))
    pod.spec = tables.spec("sklearn.linear_model.LogisticRegression")
    pod.spec["output"]["referenceRows"] = 1600
    assert pod.fetch_model(pod.run_all().line["digest"]).code == 0
    write(pod, people(2, 1200, correlation=-0.8), AFTER)
    end = look(pod)
    assert end.code == 0, end.output
    assert end.line["auc"] > 0.8
    assert end.line["samples"] > 400
    assert {name for name, _ in end.line["top"][:2]} == {"income", "rent"}
    assert len(json.dumps(end.line)) < 4096


def test_the_same_world_is_told_from_training_by_chance_only(published: Pod) -> None:
    write(published, people(3, 1200), AFTER)
    write(published, people(4, 1200, correlation=-0.8), AFTER - HOUR)
    write(published, people(5, 1200, correlation=-0.8), THROUGH)
    write(published, people(6, 1200, correlation=-0.8), AFTER, track="candidate")
    end = look(published)
    assert end.code == 0, end.output
    assert end.line["auc"] == pytest.approx(0.5, abs=0.05)
    assert end.line == look(published).line, "the same rows again"


def test_only_the_features_that_are_wanted_and_logged_are_compared(published: Pod) -> None:
    frame = people(7, 1200, correlation=-0.8)
    write(published, frame.drop(columns="plan"), AFTER)
    assert look(published, exclude=["rent"]).line["auc"] == pytest.approx(0.5, abs=0.06)
    end = look(published, include=["nothing"])
    assert (end.code, end.line["reason"]) == (64, "DataInvalid")


def test_too_few_rows_say_nothing(published: Pod) -> None:
    end = look(published)
    assert (end.code, end.line["samples"]) == (0, 0)
    write(published, people(8, 100), AFTER)
    end = look(published)
    assert "auc" not in end.line
    assert end.line["message"].startswith("100 rows of 50 requests are in the log")


def test_a_sample_is_enough_where_the_policy_asks_for_millions_of_counted_rows(
    published: Pod,
) -> None:
    write(published, people(10, 4200), AFTER)
    end = look(published, minSamples=1_000_000)
    assert end.line["samples"] == 800, "half of the reference rows"
    assert "4000 rows of 2000 requests" in end.output


def test_lines_of_others_are_left_alone(published: Pod) -> None:
    write(published, people(9, 1200), AFTER)
    hour = published.store.keys("logs")[0].rpartition("/")[0]
    published.store.put("logs", f"{hour}/notes.jsonl.zst", zstandard.compress(b'{"no": 1}\n[]\n'))
    published.store.put("logs", f"{hour}/empty.jsonl.zst", b"")
    assert look(published).line["auc"] == pytest.approx(0.5, abs=0.05)


def test_a_part_that_can_not_be_read_is_told(published: Pod) -> None:
    write(published, people(9, 100), AFTER)
    hour = published.store.keys("logs")[0].rpartition("/")[0]
    published.store.put("logs", f"{hour}/x.jsonl.zst", b"not zstd at all")
    end = look(published)
    assert (end.code, end.line["reason"]) == (64, "DataInvalid")
    assert "can't be read" in end.line["message"]


def test_a_model_without_reference_rows_is_told(published: Pod) -> None:
    (published.models / "reference.parquet").unlink()
    end = look(published)
    assert (end.code, end.line["reason"]) == (64, "ArtifactInvalid")
    assert "spec.output.referenceRows" in end.line["message"]


def test_a_secret_that_is_wrong_is_told(published: Pod) -> None:
    write(published, people(9, 100), AFTER)
    end = look(published, secret="wrong")
    assert (end.code, end.line["reason"]) == (64, "AccessDenied")
