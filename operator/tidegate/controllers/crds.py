"""The CRDs, without which there is nothing to do: they may come after the operator."""

import logging

from tidegate.clients.kube import Kube
from tidegate.clients.refusals import not_installed
from tidegate.clients.resources import CUSTOM
from tidegate.clients.retries import BACKOFF_SECONDS, Retries
from tidegate.errors import TransientError

logger = logging.getLogger(__name__)


async def installed(kube: Kube) -> None:
    """Return when the API server knows all custom resources."""
    retries = Retries(logger, BACKOFF_SECONDS)
    while True:
        try:
            served = await kube.served(CUSTOM[0].api_version)
        except TransientError as error:
            await retries.pause(str(error), error.retry_after or 0.0)
            continue
        missing = [resource for resource in CUSTOM if resource.plural not in served]
        if not missing:
            return
        await retries.pause(not_installed(missing))
