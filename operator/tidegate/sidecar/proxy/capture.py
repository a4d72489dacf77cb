"""Which requests are copied for the monitor, as the Model says."""

from collections.abc import Callable
from dataclasses import dataclass

from tidegate.sidecar.settings import BODY_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class Capture:
    """All requests are counted; those that it wants are copied as well."""

    draw: Callable[[], float]
    """Gives independent uniform numbers in [0, 1)."""
    share: float = 1.0
    body_limit: int = BODY_LIMIT_BYTES
    caller_ids: bool = False
    """Whether the ids that callers give their requests are needed."""

    def wants(self) -> bool:
        """Whether the next request is copied: drawn for each one, so that no caller can tell."""
        share = self.share
        return share >= 1.0 or (share > 0.0 and self.draw() < share)
