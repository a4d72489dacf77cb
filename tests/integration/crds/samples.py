"""The samples that users start from, and small edits of them."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.integration.apiserver import Manifest

SAMPLES = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((Path(__file__).parents[3] / "manifests" / "samples").glob("*.yaml"))
}

Path_ = tuple[str | int, ...]
"""Where something is inside a manifest."""


class Absent:
    """In an edit: take the field away."""


ABSENT = Absent()


def edited(manifest: Manifest, edits: Mapping[str, Any]) -> Manifest:
    """A copy in which each dotted path has its new value."""
    return replaced(manifest, {parsed(path): value for path, value in edits.items()})


def replaced(manifest: Manifest, edits: Mapping[Path_, Any]) -> Manifest:
    """A copy in which what lies at each path has its new value."""
    made = copy.deepcopy(manifest)
    for path, value in edits.items():
        parent: Any = made
        for step in path[:-1]:
            if isinstance(parent, dict):
                parent.setdefault(step, {})
            parent = parent[step]
        if value is ABSENT:
            del parent[path[-1]]
        else:
            parent[path[-1]] = copy.deepcopy(value)  # a later edit may go deeper into it
    return made


def parsed(path: str) -> Path_:
    """`spec.gates.0.name` as steps."""
    return tuple(int(step) if step.isdigit() else step for step in path.split("."))


def inside(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every value below, with its path."""
    if path:
        yield path, value
    children = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else ()
    for step, child in (*children, *items):
        yield from inside(child, (*path, step))
