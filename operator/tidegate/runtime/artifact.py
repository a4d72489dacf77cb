"""The folder that holds a model: its manifest, its digest, and what may be in it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Format
from tidegate.errors import TerminalError
from tidegate.evidence.profile import Kind, Task

MANIFEST, PROFILE, METRICS = "tidegate.json", "profile.json", "metrics.json"
MODEL_FILES: Mapping[Format, str] = {
    "Skops": "model.skops",
    "ONNX": "model.onnx",
    "Joblib": "model.joblib",
}
VERSION = 1
Label = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """What tidegate.json says: how to load the model, and what to feed it."""

    format: Format
    task: Task
    features: tuple[str, ...]
    """The columns in the order in which the model takes them."""
    kinds: Mapping[str, Kind]
    target: str
    classes: tuple[Label, ...] = ()

    @property
    def model_file(self) -> str:
        return MODEL_FILES[self.format]

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "format": self.format,
            "task": self.task,
            "features": list(self.features),
            "kinds": dict(self.kinds),
            "classes": list(self.classes),
            "target": self.target,
        }

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a folder; raise TerminalError if there is none that this code knows."""
        try:
            data = json.loads((folder / MANIFEST).read_text())
            _check(data)
            return cls(
                format=data["format"],
                task=data["task"],
                features=tuple(data["features"]),
                kinds=dict(data["kinds"]),
                target=data["target"],
                classes=tuple(data["classes"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{MANIFEST} is missing or is not one of a model: {error!r}"
            raise TerminalError(Reason.ARTIFACT_INVALID, message) from error


def _check(data: Mapping[str, Any]) -> None:
    if data["version"] != VERSION or data["format"] not in MODEL_FILES:
        raise ValueError(f"version {data['version']}, format {data['format']}")
    if data["task"] not in ("classification", "regression"):
        raise ValueError(f"unknown task {data['task']!r}")
    kinds = data["kinds"]
    if set(kinds) != set(data["features"]) or set(kinds.values()) - {"number", "category"}:
        raise ValueError("kinds does not say number or category for each feature")


def file_digest(path: Path) -> str:
    """`sha256:` and the hash of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def folder_digest(digests: Mapping[str, str]) -> str:
    """The digest of a folder, from those of its files by relative path.

    It is the hash of the listing that `sha256sum` prints for the sorted paths.
    """
    lines = (f"{digests[path].removeprefix('sha256:')}  {path}\n" for path in sorted(digests))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def digest_of(folder: Path) -> str:
    """The digest of a folder on disk; files and folders that begin with a dot do not count."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return folder_digest({n: file_digest(p) for n, p in files.items() if not n.startswith(".")})


def safe_path(path: str) -> bool:
    """Whether a path from a listing stays inside the folder and is one line of plain text."""
    parts = PurePosixPath(path).parts
    plain = not re.search(r"[\x00-\x1f\x7f\\]", path)
    inside = path == "/".join(parts) and not path.startswith((".", "/"))
    return bool(parts) and plain and inside and ".." not in parts
