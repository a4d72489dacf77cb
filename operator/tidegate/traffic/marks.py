"""Marks: how a pod tells the next one that a request has been routed, so that clients can't.

A mark stands in `x-tidegate-routed` as `<generation>.<kind>.<tag>`. The tag is a keyed hash of what
stands before it; the key is part of the signed routing document, which only the pods of the Model
are given. A request whose mark is made up is answered where it arrives, and is no evidence: who
could choose the revision that answers would choose what it is judged by.
"""

import hashlib
import hmac
import re
from enum import StrEnum
from typing import NamedTuple

from tidegate.api.names import HEADER_ROUTED

KEY_BYTES = 16
_LINES = re.compile(rb"\r\n%b:[^\r]*" % HEADER_ROUTED.encode(), re.IGNORECASE)
_FORM = re.compile(rb"([0-9]{1,15})\.([a-z]+)\.([0-9a-f]{16})")


class Kind(StrEnum):
    """Why a request goes to another pod."""

    LOT = "lot"
    """It was drawn, for this request or for its session: it counts in the comparison."""
    MATCH = "match"
    """A rule of the spec chose the candidate: it is answered and counted, and compared with
    nothing."""
    HANDED = "handed"
    """Its pod is no longer stable; the next one draws, and hands it on no further."""
    SHADOW = "shadow"
    """A copy whose answer is compared with stable's and thrown away."""


class Mark(NamedTuple):
    """What a genuine mark says."""

    kind: Kind
    generation: int


def signed(key: bytes, kind: Kind, generation: int) -> bytes:
    """The text of a mark."""
    said = b"%d.%b" % (generation, kind.value.encode())
    return b"%b.%b" % (said, _tag(key, said))


def read(key: bytes, text: bytes) -> Mark | None:
    """What the mark says; None if it was not made with this key."""
    found = _FORM.fullmatch(text)
    if found is None or not key:
        return None
    said = text[: found.start(3) - 1]
    if not hmac.compare_digest(_tag(key, said), found[3]):
        return None
    return Mark(Kind(found[2].decode()), int(found[1]))


def without(head: bytes) -> bytes:
    """A raw head without any mark, genuine or not."""
    return _LINES.sub(b"", head)


def _tag(key: bytes, said: bytes) -> bytes:
    return hashlib.blake2b(said, key=key, digest_size=8).hexdigest().encode()
