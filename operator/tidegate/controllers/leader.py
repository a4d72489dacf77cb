"""One operator at a time: a Lease that the leader renews and that others take when it expires.

A Lease is no fence: two leaders are possible for a moment. What they do is harmless twice, because
names are deterministic and every write is a whole intent.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from tidegate.api.names import LEASE_NAME
from tidegate.clients.kube import Kube, Manifest
from tidegate.clients.resources import LEASES
from tidegate.clients.retries import Retries
from tidegate.errors import TidegateError, said

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15  # others wait this long after the last renewal that they have seen
RENEW_DEADLINE_SECONDS = 10  # the leader gives up sooner, so that there is a gap, not an overlap
RETRY_SECONDS = 2


class Leadership:
    """One replica's part in the election.

    Ages are measured with the loop's own clock from the moment when a change was *seen*: clocks of
    different nodes are never compared.
    """

    def __init__(
        self, kube: Kube, namespace: str, identity: str, now: Callable[[], datetime]
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._identity = identity
        self._now = now
        self._seen: tuple[str, float] = ("", 0.0)
        self._mine: Manifest | None = None
        self.renewed_at: float | None = None
        """The loop's time before the last renewal that succeeded; None while not leading."""

    async def acquire(self) -> None:
        """Return when this replica leads."""
        stands_by = False
        retries = Retries(logger, (RETRY_SECONDS,))
        while True:
            try:
                if await self._try():
                    logger.info("%s leads", self._identity)
                    return
                if not stands_by:
                    logger.info("%s stands by: the Lease is another's", self._identity)
                    stands_by = True
            except TidegateError as error:
                await retries.pause(f"can't read or write the Lease: {error}")
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def hold(self) -> None:
        """Renew for as long as that works; return when leadership is lost."""
        loop = asyncio.get_running_loop()
        while self.renewed_at is not None:
            deadline = self.renewed_at + RENEW_DEADLINE_SECONDS
            await asyncio.sleep(RETRY_SECONDS)
            if loop.time() > deadline:
                break  # the loop stood still: somebody else may lead already
            try:
                async with asyncio.timeout_at(deadline):
                    if not await self._try():
                        break
            except TimeoutError:
                break
            except TidegateError as error:
                logger.warning("can't renew the Lease: %s", error)
        self.renewed_at = None
        logger.error("%s leads no longer", self._identity)

    async def release(self) -> None:
        """Let another replica lead at once; without it, it waits for the Lease to expire."""
        try:
            async with asyncio.timeout(RENEW_DEADLINE_SECONDS):
                # A renewal that was cancelled may yet arrive, and come in between.
                while not await self._let_go():
                    pass
        except (TidegateError, TimeoutError) as error:
            logger.warning("the Lease could not be released: %s", said(error))
        self._mine = self.renewed_at = None

    async def _let_go(self) -> bool:
        """Whether the Lease is not ours any more, or never was."""
        lease = await self._kube.get(LEASES, self._namespace, LEASE_NAME)
        if lease is None or lease["spec"].get("holderIdentity") != self._identity:
            return True
        spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        return await self._kube.replace({**lease, "spec": spec}) is not None

    async def _try(self) -> bool:
        """Take or renew the Lease; whether it is ours now."""
        began = asyncio.get_running_loop().time()
        if self._mine is not None:
            self._mine = await self._kube.replace(self._manifest(self._mine))
        if self._mine is None:
            self._mine = await self._take(began)
        if self._mine is None:
            return False
        self.renewed_at = began
        return True

    async def _take(self, now: float) -> Manifest | None:
        """The Lease, now ours; None if it is somebody else's or somebody was faster."""
        lease = await self._kube.get(LEASES, self._namespace, LEASE_NAME)
        if lease is None:
            return await self._kube.create(self._manifest({}))
        if self._is_free(lease, now):
            return await self._kube.replace(self._manifest(lease))
        return None

    def _is_free(self, lease: Manifest, now: float) -> bool:
        """Ours, given up, or not renewed for a whole lease while we were looking."""
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, now)
        holder = lease["spec"].get("holderIdentity")
        seconds = float(lease["spec"].get("leaseDurationSeconds") or LEASE_SECONDS)
        return not holder or holder == self._identity or now > self._seen[1] + seconds

    def _manifest(self, lease: Manifest) -> Manifest:
        """The Lease as ours; at its resource version, so that only one replica's write counts."""
        moment = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = lease.get("spec", {})
        mine = spec.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": lease.get("metadata") or {"namespace": self._namespace, "name": LEASE_NAME},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": spec.get("acquireTime") if mine else moment,
                "renewTime": moment,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (not mine),
            },
        }
