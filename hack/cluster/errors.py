"""The one exception that a user of the cluster commands sees."""


class ClusterError(Exception):
    """Something a person has to mend: what is wrong, and the command that mends it."""

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(f"{message}\n  to mend it: {mend}" if mend else message)
        self.message = message
        self.mend = mend
