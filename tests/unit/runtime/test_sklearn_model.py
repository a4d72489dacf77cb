"""Models as files."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from tidegate.runtime.sklearn_model import load_skops, save_skops


@pytest.mark.parametrize(
    "word", ['a "quoted" one', "ends with \\", '\\"', "", "0.npy", '"__id__": 7', "é\n"]
)
def test_every_word_survives_in_a_skops_file(tmp_path: Path, word: str) -> None:
    words = np.array([[word], ["another"]] * 4, dtype=object)
    pipeline = Pipeline([("prepare", OneHotEncoder()), ("model", LogisticRegression())])
    pipeline.fit(words, [word, "another"] * 4)
    save_skops(pipeline, tmp_path / "model.skops")
    again = load_skops(tmp_path / "model.skops")
    assert again["prepare"].categories_[0].tolist() == sorted([word, "another"])
    assert again.predict(words).tolist() == pipeline.predict(words).tolist()
