"""Which revision a Model's spec asks for. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tidegate.api.names import Reason
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import Format, TrainingJob
from tidegate.controllers.model.state import Revision, Wanted, revision_name


@dataclass(frozen=True, slots=True)
class Images:
    """The images that a new revision's pods run, and keep when the operator is upgraded."""

    runtime: str
    sidecar: str


def resolve(
    model: Model,
    jobs: Iterable[TrainingJob],
    known: Mapping[str, Revision],
    stable: str | None,
    images: Images,
) -> Wanted:
    """The wanted revision; `stable` names the one that serves."""
    artifact = model.spec.artifact
    if artifact.uri is not None and artifact.digest is not None:
        revision = _made(model, known, images, artifact.uri, artifact.digest, artifact.format)
        return Wanted(revision, Reason.RESOLVED, f"The spec pins {artifact.digest}.")
    serving = known.get(stable or "")
    job = newest_succeeded(jobs, model.metadata.name)
    if job is None or _older(job, serving):
        return _kept(serving)
    return _trained(model, job, known, images)


def newest_succeeded(jobs: Iterable[TrainingJob], model: str) -> TrainingJob | None:
    """The newest succeeded TrainingJob for a Model: by completion, then by name."""
    done = [
        j
        for j in jobs
        if j.spec.model_ref is not None and j.spec.model_ref.name == model and j.status.succeeded
    ]
    return max(done, key=lambda j: (j.status.completion_time or "", j.metadata.name), default=None)


def _older(job: TrainingJob, serving: Revision | None) -> bool:
    """Whether a job is older than what serves: tidying up jobs must not bring old models back."""
    return serving is not None and (job.status.completion_time or "") < serving.trained_at


def _kept(serving: Revision | None) -> Wanted:
    if serving is not None and serving.trained_at:
        message = f"No TrainingJob is newer than {serving.training_job}, whose model serves."
        return Wanted(serving, Reason.RESOLVED, message)
    message = (
        "No TrainingJob whose spec.modelRef names this Model has succeeded yet: create one, "
        "or set spec.artifact.uri."
    )
    return Wanted(None, Reason.AWAITING_TRAINING, message)


def _trained(
    model: Model, job: TrainingJob, known: Mapping[str, Revision], images: Images
) -> Wanted:
    output = job.status.output
    if output is None:
        raise ValueError(f"{job.metadata.name} has not succeeded")
    if output.format == "Joblib" and not model.spec.artifact.allow_unsafe:
        message = (
            f"TrainingJob {job.metadata.name} published Joblib, which runs code when it is loaded: "
            "set spec.artifact.allowUnsafe to accept that, or train with spec.output.format Skops."
        )
        return Wanted(None, Reason.UNSAFE_FORMAT, message, accepted=False)
    revision = _made(model, known, images, output.uri, output.digest, output.format, job)
    return Wanted(
        revision, Reason.RESOLVED, f"TrainingJob {job.metadata.name} published {output.digest}."
    )


def _made(
    model: Model,
    known: Mapping[str, Revision],
    images: Images,
    uri: str,
    digest: str,
    format_: Format,
    job: TrainingJob | None = None,
) -> Revision:
    """The known revision of that name where it lies by now, or a new one with today's images."""
    name = revision_name(model.metadata.name, digest, format_)
    trained_by = job.metadata.name if job else None
    trained_at = (job.status.completion_time or "") if job else ""
    if name in known:
        return replace(known[name], uri=uri, training_job=trained_by, trained_at=trained_at)
    return Revision(
        name=name,
        uri=uri,
        digest=digest,
        format=format_,
        runtime_image=images.runtime,
        sidecar_image=images.sidecar,
        training_job=trained_by,
        trained_at=trained_at,
        number=1 + max((r.number for r in known.values()), default=0),
    )
