"""The watched namespaces that may not be read: deleted, or without the Role of the release.

One of them must not keep the operator from its work in the others.
"""

import asyncio
import logging

from tidegate.clients.kube import Kube
from tidegate.clients.resources import MODELS
from tidegate.clients.retries import Retries
from tidegate.errors import TerminalError, TransientError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 15.0


async def closed(kube: Kube, namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Those that may not be read; none if it is all of them, which is no state to work in."""
    refusals = {space: await _refusal(kube, space) for space in namespaces}
    found = {space: why for space, why in refusals.items() if why is not None}
    if len(found) == len(namespaces):
        return ()
    for space, why in found.items():
        logger.warning("nothing is done in %s: %s", space, why)
    return tuple(found)


async def reopened(kube: Kube, namespaces: tuple[str, ...]) -> None:
    """Return when one of the closed namespaces may be read."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for space in namespaces:
            if await _refusal(kube, space) is None:
                logger.warning("%s may be read now: the operator starts again", space)
                return


async def _refusal(kube: Kube, namespace: str) -> TerminalError | None:
    """Why nothing may be read there; a server that does not answer is waited for."""
    retries = Retries(logger, (LOOK_SECONDS,))
    while True:
        try:
            await kube.list(MODELS, namespace, metadata_only=True)
        except TerminalError as error:
            return error
        except TransientError as error:
            await retries.pause(str(error), error.retry_after or 0.0)
        else:
            return None
