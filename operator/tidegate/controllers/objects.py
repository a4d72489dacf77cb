"""From what the API server stores to typed objects."""

from typing import TypeVar

from pydantic import ValidationError

from tidegate.api.meta import ApiModel
from tidegate.api.names import Reason
from tidegate.clients.kube import Manifest
from tidegate.errors import TerminalError

T = TypeVar("T", bound=ApiModel)


def typed(kind: type[T], manifest: Manifest) -> T:
    """The object; TerminalError(Unreadable) if it was stored under a schema that we can't read."""
    try:
        return kind.model_validate(manifest)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise TerminalError(
            Reason.UNREADABLE, f"{where}: {error.errors()[0]['msg']} ({error.error_count()} in all)"
        ) from error


def readable(kind: type[T], manifests: tuple[Manifest, ...]) -> tuple[T, ...]:
    """Those of the objects that can be read: a broken one must not stop its neighbours."""
    found: list[T] = []
    for manifest in manifests:
        try:
            found.append(typed(kind, manifest))
        except TerminalError:  # its own reconcile says so
            continue
    return tuple(found)
