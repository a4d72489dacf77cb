"""The clusters of a run of the tests: each is reached once, and goes with its last user."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from hack.target import ROOT, Target, TargetError, reach, release

APPLY_CRDS = ("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))


class Clusters:
    """What several tiers may use at the same time."""

    def __init__(self) -> None:
        self._users: Counter[str] = Counter()
        self._reaching: dict[str, asyncio.Future[Target]] = {}

    @asynccontextmanager
    async def use(self, instance: str, *, has_node: bool) -> AsyncIterator[Mapping[str, str]]:
        """The environment of the processes that use it; TargetError if there is no cluster."""
        self._users[instance] += 1
        if instance not in self._reaching:
            reached = asyncio.to_thread(_reached, instance, has_node=has_node)
            self._reaching[instance] = asyncio.ensure_future(reached)
        reaching = self._reaching[instance]
        try:
            # Shielded: whoever is interrupted meanwhile has yet to take down what was brought up.
            yield (await asyncio.shield(reaching)).environment
        finally:
            self._users[instance] -= 1
            if not self._users[instance]:
                del self._reaching[instance]
                target = None
                with suppress(TargetError):  # told to those who waited for it
                    target = await reaching
                if target and target.made:
                    await asyncio.to_thread(release, target.made)


def _reached(instance: str, *, has_node: bool) -> Target:
    target = reach(instance, has_node=has_node)
    if has_node:
        # Cluster-wide, so none of those who share the node may bring them, or take them away.
        done = subprocess.run(APPLY_CRDS, env=target.environment, check=False, capture_output=True)
        if done.returncode:
            if target.made:
                release(target.made)
            raise TargetError(f"{' '.join(APPLY_CRDS)}: {done.stderr.decode()}")
    return target
