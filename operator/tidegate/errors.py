"""The two errors that leave a client: try again, or give up.

::

    TidegateError
    ├── TransientError   the world may mend itself: try again after a while
    └── TerminalError    trying again changes nothing: somebody must act
"""


class TidegateError(Exception):
    """Base of the errors that Tidegate raises on purpose."""


class TransientError(TidegateError):
    """A request failed in a way that may pass; `retry_after` is in seconds, None if unknown."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TerminalError(TidegateError):
    """A request that can't succeed as it stands; `reason` is PascalCase, fit for a condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def said(error: Exception) -> str:
    """What an error says; some, such as a timeout, have no words but their name."""
    return str(error) or type(error).__name__
