"""The estimator that the spec names: found, checked and built."""

import importlib
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeGuard

from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.utils import all_estimators

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Sklearn
from tidegate.evidence.profile import Task
from tidegate.runtime.outcome import StageError

ESTIMATOR_FIELD = "spec.trainer.sklearn.estimator"
PARAMETERS_FIELD = "spec.trainer.sklearn.parameters"


def build(spec: Sklearn, seed: int) -> Any:
    """The estimator with its parameters; the seed becomes its random_state where it has one."""
    cls = _resolve(spec.estimator)
    names = _parameter_names(cls)
    for name in spec.parameters:
        if name not in names:
            raise invalid_parameter(name, f"{cls.__name__} has no parameter {name!r}.", names)
    seeded = {"random_state": seed} if "random_state" in names else {}
    try:
        estimator = cls(**{**seeded, **spec.parameters})
    except TypeError as error:
        message = f"{spec.estimator} needs more than parameters can say: {error}"
        raise StageError(Reason.PARAMETER_INVALID, message, field=PARAMETERS_FIELD) from error
    if not (is_classifier(estimator) or is_regressor(estimator)):
        raise _unknown(spec.estimator, "is neither a classifier nor a regressor")
    return estimator


def task_of(estimator: Any) -> Task:
    """What the estimator is for."""
    return "classification" if is_classifier(estimator) else "regression"


def parameters_of(estimator: Any) -> tuple[str, ...]:
    """The names that an estimator's parameters may have."""
    return _parameter_names(type(estimator))


def invalid_parameter(name: str, what: str, names: tuple[str, ...]) -> StageError:
    """The error that names a parameter and those that there are."""
    folded = {n.lower(): n for n in names}
    near = get_close_matches(name.lower(), folded, n=1) if name not in names else []
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    message = f"{what}{hint} Its parameters are {', '.join(names)}."
    return StageError(Reason.PARAMETER_INVALID, message, field=f"{PARAMETERS_FIELD}.{name}")


def _resolve(path: str) -> type[Any]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        found = None
    if not _is_estimator(found):
        raise _unknown(path, "is no estimator of the installed scikit-learn")
    return found


def _is_estimator(found: object) -> TypeGuard[type[Any]]:
    # Only scikit-learn's own classes, not what one of its modules has imported.
    return (
        inspect.isclass(found)
        and found.__module__.startswith("sklearn.")
        and issubclass(found, BaseEstimator)
        and not inspect.isabstract(found)
    )


def _unknown(path: str, why: str) -> StageError:
    near = get_close_matches(path, _public_paths(), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return StageError(Reason.ESTIMATOR_UNKNOWN, f"{path} {why}{hint}", field=ESTIMATOR_FIELD)


def _public_paths() -> list[str]:
    found: Mapping[str, type[Any]] = dict(all_estimators(type_filter=["classifier", "regressor"]))
    return [f"{cls.__module__.partition('._')[0]}.{name}" for name, cls in found.items()]


def _parameter_names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(cls).parameters)
