"""Manifests that the user names with -f: typed, and refused with the field and the fix."""

from pathlib import Path

import yaml

from tidegate.api.names import DRIFT_POLICY, MODEL
from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.cli.access import typed
from tidegate.errors import TerminalError


def manifests(path: str) -> list[Model | DriftPolicy]:
    """The Models and DriftPolicies of a YAML file; other kinds in it are passed over."""
    try:
        documents = list(yaml.safe_load_all(Path(path).read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError("NotFound", f"-f: {error}") from error
    except yaml.YAMLError as error:
        raise TerminalError("InvalidSpec", f"-f {path} is no YAML: {error}") from error
    found: list[Model | DriftPolicy] = []
    for document in documents:
        match document:
            case {"kind": kind} if kind == MODEL:
                found.append(typed(Model, document))
            case {"kind": kind} if kind == DRIFT_POLICY:
                found.append(typed(DriftPolicy, document))
            case _:
                pass
    if not found:
        raise TerminalError("InvalidSpec", f"-f {path}: there is no Model or DriftPolicy in it")
    return found


def model_of(path: str) -> Model:
    """The one Model of a file."""
    models = [m for m in manifests(path) if isinstance(m, Model)]
    if len(models) != 1:
        raise TerminalError("InvalidSpec", f"-f {path}: one Model is wanted, not {len(models)}")
    return models[0]
