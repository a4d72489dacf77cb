"""The stage `fetch`: bring the input tables into the pod, each verified by its digest."""

from pathlib import Path

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.training_job import Input
from tidegate.clients.objectstore import ObjectStore
from tidegate.errors import TerminalError
from tidegate.runtime.job import Job, Workspace
from tidegate.runtime.outcome import StageError
from tidegate.runtime.patience import patiently
from tidegate.runtime.progress import Progress


def fetch(
    job: Job, work: Workspace, store: ObjectStore, *, limit_bytes: int, patience: float
) -> dict[str, object]:
    """Download all inputs; the digests go into the lineage."""
    digests = {
        source.name: _fetch_input(
            source, index, work.table(source), store, limit_bytes=limit_bytes, patience=patience
        )
        for index, source in enumerate(job.spec.data.inputs)
    }
    work.remember("fetch", {"inputs": digests})
    return {"inputs": digests}


def _fetch_input(
    source: Input,
    index: int,
    target: Path,
    store: ObjectStore,
    *,
    limit_bytes: int,
    patience: float,
) -> str:
    field = f"spec.data.inputs[{index}]"
    partial = target.with_name(f".{target.name}")
    progress = Progress(source.name)
    try:
        digest = patiently(
            lambda: store.download(source.uri, partial, limit_bytes=limit_bytes, progress=progress),
            patience,
        )
    except TerminalError as error:
        raise StageError(error.reason, str(error), field=f"{field}.uri") from error
    if source.digest is not None and digest != source.digest:
        partial.unlink()
        message = (
            f"input {source.name} has the digest {digest}, but {field}.digest says "
            f"{source.digest}: the file was changed; pin the new digest if that was meant"
        )
        raise StageError(Reason.DIGEST_MISMATCH, message, field=f"{field}.digest")
    partial.rename(target)
    print(f"{source.name}: {digest}", flush=True)
    return digest
