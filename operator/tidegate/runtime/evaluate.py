"""Measuring a model on rows that it has not learnt from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.api.names import Reason
from tidegate.evidence.encode import label_text
from tidegate.evidence.profile import Task
from tidegate.evidence.ranking import Ranking
from tidegate.runtime.artifact import Manifest
from tidegate.runtime.dataset import Rows
from tidegate.runtime.outcome import StageError
from tidegate.runtime.predictor import Answer, Predictor
from tidegate.runtime.scores import classification_scores, regression_scores
from tidegate.runtime.sklearn_model import SklearnModel


def evaluate(predictor: Predictor, rows: Rows) -> tuple[Answer, dict[str, float]]:
    """The answers of the model as it is served, and their scores."""
    try:
        answer = predictor.predict(rows.columns)
    except ValueError as error:
        message = f"the model can't take the held-out rows: {error}"
        raise StageError(Reason.DATA_INVALID, message, field="spec.data.inputs") from error
    return answer, _scores(answer, rows.target, predictor.manifest.task, predictor.manifest.classes)


def ranking_of(answer: Answer, rows: Rows, manifest: Manifest) -> Ranking | None:
    """How the scores of held-out rows rank two labels; None where there are others, or no scores.

    A regressor's answers are the scores where its target has two values.
    """
    labels: Sequence[Any] = manifest.classes
    scores = None if answer.probabilities is None else answer.probabilities[:, -1]
    if manifest.task == "regression":
        labels, scores = np.unique(rows.target).tolist(), answer.values.astype(np.float64)
    texts = [label_text(label) or "" for label in labels]
    truth = [label_text(value) for value in rows.target]
    if scores is None or len(texts) != 2 or set(truth) != set(texts):
        return None
    return Ranking.of(scores, np.array([t == texts[1] for t in truth]), (texts[0], texts[1]))


def scores_of(
    pipeline: Any, rows: NDArray[Any], target: NDArray[Any], task: Task
) -> dict[str, float]:
    """The scores of a fitted pipeline in memory."""
    answer = Answer(*SklearnModel(pipeline).predict(rows, probabilities=True))
    return _scores(answer, target, task, tuple(getattr(pipeline, "classes_", ())))


def _scores(
    answer: Answer, target: NDArray[Any], task: Task, classes: tuple[Any, ...]
) -> dict[str, float]:
    if task == "regression":
        return regression_scores(target, answer.values)
    place = {label_text(label): index for index, label in enumerate(classes)}
    truth, said = (
        np.array([place.get(label_text(v), -1) for v in labels], dtype=np.int64)
        for labels in (target, answer.values)
    )
    return classification_scores(truth, said, answer.probabilities, len(classes))
