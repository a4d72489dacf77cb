"""Waiting for an object store that is down: longer from try to try, and not for ever."""

import time
from collections.abc import Callable
from random import random
from typing import TypeVar

from tidegate.errors import TransientError

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0

Result = TypeVar("Result")


def patiently(action: Callable[[], Result], seconds: float) -> Result:
    """The result of `action`, tried again while it fails in passing, for so many seconds."""
    deadline = time.monotonic() + seconds
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            return action()
        except TransientError as error:
            left = deadline - time.monotonic()
            if left <= 0:
                message = f"gave up after {seconds:g} s: {error}"
                raise TransientError(message) from error
            # Jitter, so that the pods of one outage do not all come back in the same second.
            pause = min(wait * (0.5 + random() / 2), left)  # noqa: S311 - spreads load, no secret
            print(f"{error}; trying again in {pause:.1f} s ({left:.0f} s left)", flush=True)
            time.sleep(pause)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
