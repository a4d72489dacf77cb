"""The stage `publish`: upload the model so that it is either all there or not a model."""

from pathlib import Path

from tidegate.clients.objectstore import ObjectStore
from tidegate.errors import TerminalError
from tidegate.runtime.artifact import MANIFEST, PROFILE, digest_of, file_digest
from tidegate.runtime.job import Job, Workspace
from tidegate.runtime.outcome import StageError
from tidegate.runtime.patience import patiently


def publish(job: Job, work: Workspace, store: ObjectStore, *, patience: float) -> dict[str, object]:
    """Upload the files, the manifest last: a folder without it is no model."""
    inputs, run = work.recall("fetch")["inputs"], work.recall("train")
    try:
        _upload(work.out, job.output_uri, store, patience)
    except TerminalError as error:
        raise StageError(error.reason, str(error), field="spec.output") from error
    return {
        "uri": job.output_uri,
        "digest": digest_of(work.out),
        "profile": file_digest(work.out / PROFILE),
        "format": job.spec.output.format,
        "metrics": run["metrics"],
        "inputs": inputs,
        "seed": run["seed"],
        "packages": run["packages"],
    }


def _upload(out: Path, folder: str, store: ObjectStore, patience: float) -> None:
    names = sorted((p.name for p in out.iterdir()), key=lambda name: (name == MANIFEST, name))
    # An earlier try may have published: its manifest must not vouch for a mixture of both.
    patiently(lambda: store.delete(folder + MANIFEST), patience)
    for entry in patiently(lambda: store.entries(folder), patience):
        if entry.path not in names:
            patiently(lambda path=entry.path: store.delete(folder + path), patience)  # type: ignore[misc]  # mypy can't infer a lambda with a default
    for name in names:
        patiently(lambda name=name: store.upload(out / name, folder + name), patience)  # type: ignore[misc]  # as above
        print(f"uploaded {folder}{name}", flush=True)
