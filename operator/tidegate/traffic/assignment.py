"""Who is not drawn for: callers that a rule sends to the candidate, and sessions that stay put."""

import hashlib
import re

from tidegate.traffic.routing import Candidate

_POINTS = 1 << 64


class Assignment:
    """Reads the headers that a candidate's rules name, in a raw head."""

    def __init__(self, model: str, candidate: Candidate, key: bytes) -> None:
        self._sticky = candidate.sticky.lower().encode()
        self._match = {(m.header.lower().encode(), m.value.encode()) for m in candidate.match}
        # Keyed, so that nobody can choose a session that gets the candidate; by the candidate's
        # name, so that not the same callers are the first in every rollout.
        salt = f"{model}/{candidate.revision}".encode()
        self._hash = hashlib.blake2b(salt, key=key, digest_size=8)
        names = {self._sticky, *(header for header, _ in self._match)} - {b""}
        pattern = rb"\r\n(%b):[\t ]*+([^\r]*+)" % b"|".join(re.escape(n) for n in sorted(names))
        self._found = re.compile(pattern, re.IGNORECASE)

    def point(self, raw: bytes) -> float | None:
        """Where the request stands in [0, 1); below the candidate's share it gets the candidate.

        Below 0 if a rule matches, whatever the share; None if it has no place, so that it is drawn.
        The place of a session depends on nothing but its header's value: a share that grows takes
        new sessions in and sends none back.
        """
        place: float | None = None
        for spelled, padded in self._found.findall(raw):
            name, value = spelled.lower(), padded.rstrip(b" \t")
            if (name, value) in self._match:
                return -1.0
            if name == self._sticky and place is None:
                hashed = self._hash.copy()
                hashed.update(b"\0" + value)
                place = int.from_bytes(hashed.digest(), "big") / _POINTS
        return place


def has_rules(candidate: Candidate) -> bool:
    """Whether some requests are not drawn for."""
    return bool(candidate.sticky or candidate.match)
