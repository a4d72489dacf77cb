"""Recordings as files: a folder, here or in an object store, with a gzipped JSON file a part."""

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.errors import TerminalError
from tidegate.evidence.recording import Recording, joined

if TYPE_CHECKING:
    from tidegate.clients.objectstore import ObjectStore

SUFFIX = ".json.gz"
MAX_PART_BYTES = 256 * 1024 * 1024


def file_name(part: Recording) -> str:
    """The name of a part: whose windows, from which slot to which."""
    first, last = part.slots or (0, 0)
    return f"{part.namespace}.{part.model}.{first}-{last}{SUFFIX}"


def save(part: Recording, folder: str) -> str:
    """Write a part into `DIR` or `s3://bucket/path`; where it is now."""
    content = gzip.compress(json.dumps(part.to_json(), separators=(",", ":")).encode(), mtime=0)
    if _remote(folder):
        uri = _slashed(folder) + file_name(part)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "part"
            path.write_bytes(content)
            _store().upload(path, uri)
        return uri
    path = Path(folder) / file_name(part)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into its place: a recorder that dies leaves no half a part.
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise TerminalError("NotWritable", f"--out: {error}") from error
    return str(path)


def load(folder: str) -> dict[tuple[str, str], Recording]:
    """The recordings of a folder, by namespace and Model."""
    parts: dict[tuple[str, str], list[Recording]] = {}
    for name, content in _files(folder):
        part = _part(name, content)
        parts.setdefault((part.namespace, part.model), []).append(part)
    if not parts:
        message = f"--windows {folder}: no *{SUFFIX} file is in there; make some with `record`"
        raise TerminalError("NotFound", message)
    return {key: joined(found) for key, found in sorted(parts.items())}


def load_one(folder: str, namespace: str | None, model: str) -> Recording:
    """The recording of one Model; without a namespace, of the only one that has this name."""
    found = load(folder)
    chosen = [key for key in found if key[1] == model and namespace in (None, key[0])]
    if not chosen:
        whose = f"{namespace}/{model}" if namespace else model
        known = ", ".join(f"{n}/{m}" for n, m in found)
        message = f"--windows {folder}: nothing of {whose} in there, only of {known}"
        raise TerminalError("NotFound", message)
    if len(chosen) > 1:
        spaces = ", ".join(space for space, _ in chosen)
        message = f"--windows {folder}: {model} is in {spaces}; choose one with -n"
        raise TerminalError("Ambiguous", message)
    return found[chosen[0]]


def _part(name: str, content: bytes) -> Recording:
    try:
        return Recording.from_json(json.loads(gzip.decompress(content)))
    except (ValueError, LookupError, TypeError, EOFError, OSError, zlib.error) as error:
        message = f"{name} is no part of a recording: {error!r}"
        raise TerminalError("InvalidRecording", message) from error


def _files(folder: str) -> Iterator[tuple[str, bytes]]:
    if not _remote(folder):
        if not Path(folder).is_dir():
            raise TerminalError("NotFound", f"--windows {folder}: there is no such folder")
        for path in sorted(Path(folder).glob(f"*{SUFFIX}")):
            yield str(path), path.read_bytes()
        return
    store, root = _store(), _slashed(folder)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "part"
        for entry in store.entries(root):
            if entry.path.endswith(SUFFIX):
                store.download(
                    root + entry.path, path, limit_bytes=MAX_PART_BYTES, progress=_silent
                )
                yield root + entry.path, path.read_bytes()


def _silent(_done: int, _total: int) -> None:
    pass


def _remote(folder: str) -> bool:
    return "://" in folder


def _slashed(uri: str) -> str:
    return uri if uri.endswith("/") else f"{uri}/"


def _store() -> "ObjectStore":
    # Only here: boto3 takes longer to load than most commands take to run.
    from tidegate.clients.objectstore import ObjectStore

    return ObjectStore.from_environment(os.environ)
