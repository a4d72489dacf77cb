"""The pipeline around the estimator: what makes numbers and categories fit for it."""

from collections.abc import Sequence
from typing import Any, Literal

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tidegate.evidence.profile import Kind

CATEGORY_LIMIT = 100  # a column of identifiers must not turn into a matrix of gigabytes


def make_pipeline(
    estimator: Any, kinds: Sequence[Kind], preprocessing: Literal["Auto", "None"]
) -> Pipeline:
    """The steps `prepare` and `model`; `kinds` are those of the matrix's columns in order."""
    prepare = "passthrough" if preprocessing == "None" else _preparation(kinds)
    return Pipeline([("prepare", prepare), ("model", estimator)])


def _preparation(kinds: Sequence[Kind]) -> Any:
    scaled = Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
        ]
    )
    if "category" not in kinds:
        return scaled
    encoded = OneHotEncoder(
        handle_unknown="ignore", sparse_output=False, max_categories=CATEGORY_LIMIT
    )
    places: dict[Kind, list[int]] = {
        kind: [i for i, k in enumerate(kinds) if k == kind] for kind in ("number", "category")
    }
    return ColumnTransformer(
        [("numbers", scaled, places["number"]), ("categories", encoded, places["category"])]
    )
