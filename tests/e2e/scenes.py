"""What many tests begin with: a trained artifact, a Model that serves, its clients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hack.demo.world import tables
from tests.e2e.load import Load, cases
from tests.e2e.objects import published
from tests.e2e.place import Place, eventually
from tests.integration.apiserver import Manifest

from tidegate.api.v1alpha1.model_status import DecisionStatus, ModelStatus
from tidegate.controllers.model.state import revision_name

DECIDED_SECONDS = 300.0


def trained(place: Place, job: str) -> Manifest:
    """The artifact that a TrainingJob publishes."""

    def find() -> Manifest | None:
        status = place.job(job).status
        assert status.state != "Failed", status.conditions
        return published(status.output) if status.succeeded and status.output else None

    return eventually(find, f"TrainingJob {job}")


def serving(place: Place, name: str) -> str:
    """The stable revision of a Model, once it serves."""

    def find() -> str | None:
        status = place.model(name).status
        available = status.condition("Available")
        is_there = available is not None and available.status == "True"
        return status.stable.revision if is_there and status.stable else None

    return eventually(find, f"Model {name} to serve")


@contextmanager
def served(place: Place, manifest: Manifest) -> Iterator[str]:
    """A Model that serves while the block runs; its stable revision."""
    name = manifest["metadata"]["name"]
    place.apply(manifest)
    try:
        stable = serving(place, name)
        eventually(lambda: place.reaches(name), f"the node to know the Service {name}")
        yield stable
    finally:
        place.delete("models", name)


def clients(place: Place, model: str, *, rate: float = 60.0) -> Load:
    """Clients of a Model who send tumours that no model has learned from."""
    return Load(place.address(model), model, cases(tables.held_out()), rate)


def reached(
    place: Place,
    name: str,
    holds: Callable[[ModelStatus], bool],
    what: str,
) -> ModelStatus:
    """The status of a Model, once something holds of it."""

    def find() -> ModelStatus | None:
        status = place.model(name).status
        return status if holds(status) else None

    return eventually(find, f"Model {name}: {what}", DECIDED_SECONDS)


def decided(place: Place, name: str, action: str, about: str) -> DecisionStatus:
    """The decision about a revision, once it is taken."""

    def find() -> DecisionStatus | None:
        return decision(place.model(name).status, action, about)

    return eventually(find, f"Model {name} to decide {action} of {about}", DECIDED_SECONDS)


def decision(status: ModelStatus, action: str, about: str) -> DecisionStatus | None:
    """The newest such decision that is remembered."""
    found = (d for d in reversed(status.decisions) if (d.action, d.revision) == (action, about))
    return next(found, None)


def uids(pods: list[Manifest]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def revision(model: str, artifact: Manifest) -> str:
    """The revision of a Model that an artifact becomes."""
    return revision_name(model, artifact["digest"], artifact["format"])
