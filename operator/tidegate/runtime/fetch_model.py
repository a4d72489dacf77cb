"""Bring a published model into the pod: nothing can use it before its digest is verified."""

import shutil
from pathlib import Path

from tidegate.api.names import Reason
from tidegate.clients.objectstore import Entry, ObjectStore
from tidegate.errors import TerminalError
from tidegate.runtime.artifact import MANIFEST, digest_of, folder_digest, safe_path
from tidegate.runtime.patience import patiently
from tidegate.runtime.progress import Progress

INCOMING = ".incoming"
FILE_LIMIT = 1000


def fetch_model(
    store: ObjectStore, uri: str, digest: str, out: Path, *, limit_bytes: int, patience: float
) -> dict[str, object]:
    """Download the folder at `uri` to `out`, all of it or nothing of it."""
    if digest_of(out) == digest:  # the container was started again in the same pod
        print(f"{out} already holds {digest}", flush=True)
        return {"digest": digest}
    folder = uri if uri.endswith("/") else f"{uri}/"
    entries = patiently(lambda: store.entries(folder), patience)
    _check_listing(folder, entries, limit_bytes)
    _clear(out)
    incoming = out / INCOMING
    found = {
        entry.path: _download(store, folder, entry, incoming / entry.path, patience)
        for entry in entries
    }
    actual = folder_digest(found)
    if actual != digest:
        _clear(out)
        message = (
            f"{folder} has the digest {actual}, but {digest} is wanted: the files were changed "
            "after the digest was taken; publish them again and pin the new digest"
        )
        raise TerminalError(Reason.DIGEST_MISMATCH, message)
    _move(incoming, out, [e.path for e in entries])
    print(f"{folder} verified: {actual}", flush=True)
    return {"digest": actual}


def _check_listing(folder: str, entries: list[Entry], limit_bytes: int) -> None:
    paths = [e.path for e in entries]
    if not entries:
        message = f"{folder} is empty or does not exist; check the address"
        raise TerminalError(Reason.INPUT_NOT_FOUND, message)
    unsafe = [p for p in paths if not safe_path(p)]
    if unsafe:
        message = f"{folder} holds the path {unsafe[0]!r}, which is refused: it leaves the folder"
        raise TerminalError(Reason.ARTIFACT_INVALID, message)
    if MANIFEST not in paths:
        message = f"{folder} has no {MANIFEST}: it is no model, or was never published to the end"
        raise TerminalError(Reason.ARTIFACT_INVALID, message)
    size = sum(e.size for e in entries)
    if len(entries) > FILE_LIMIT or size > limit_bytes:
        message = (
            f"{folder} holds {len(entries)} files of {size} bytes; "
            f"{FILE_LIMIT} files of {limit_bytes} bytes are allowed"
        )
        raise TerminalError(Reason.ARTIFACT_INVALID, message)


def _download(store: ObjectStore, folder: str, entry: Entry, target: Path, patience: float) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(entry.path)
    return patiently(
        lambda: store.download(
            folder + entry.path, target, limit_bytes=entry.size, progress=progress
        ),
        patience,
    )


def _clear(out: Path) -> None:
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _move(incoming: Path, out: Path, paths: list[str]) -> None:
    """Move the files, the manifest last: without it the folder is no model."""
    for path in sorted(paths, key=lambda p: p == MANIFEST):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (incoming / path).rename(out / path)
    shutil.rmtree(incoming)
