"""Inference ids: which answer a label belongs to, without storing or parsing anything.

The proxy adds `x-tidegate-id` to each answer; `POST /feedback` brings it back with the true label.
An id is `<member>.<sequence>.<nonce>`: the uid of the pod that answered, the answer's number in
that pod, and a keyed hash of the number, so that an id can't be guessed or made up.
"""

import hashlib
import hmac
import re
from functools import lru_cache
from typing import Final, NamedTuple

from typing_extensions import override

NONCE_DIGITS: Final = 16
NONCES_IN_HASH: Final = 8
# Those of the requests in flight: answers come in another order than requests.
HASHES_REMEMBERED = 512

_LAST_DIGITS: Final = tuple(b"%x." % digit for digit in range(16))
_FORM = re.compile(r"([^.]+)\.([0-9a-f]{1,16})\.([0-9a-f]{16})")


class InferenceId(NamedTuple):
    """The parts of an id."""

    member: str
    sequence: int
    nonce: str

    @override
    def __str__(self) -> str:
        return f"{self.member}.{self.sequence:x}.{self.nonce}"


def nonce(secret: bytes, sequence: int) -> str:
    """The keyed hash that proves that this pod, in this life, gave out `sequence`."""
    at = sequence % NONCES_IN_HASH * NONCE_DIGITS
    return _nonces(secret, sequence // NONCES_IN_HASH)[at : at + NONCE_DIGITS]


@lru_cache(HASHES_REMEMBERED)
def _nonces(secret: bytes, number: int) -> str:
    """Eight nonces in a row: each part of a keyed hash is as hard to guess as a hash of its own."""
    return hashlib.blake2b(number.to_bytes(8, "big"), key=secret, digest_size=64).hexdigest()


def issue(member: str, secret: bytes, sequence: int) -> str:
    """The id of answer number `sequence` of `member`."""
    digits = hex(sequence)[2:]  # noqa: FURB116 - a format in the braces takes longer than the hash
    return f"{member}.{digits}.{nonce(secret, sequence)}"


def issue_lines(header: str, member: str, secret: bytes, first: int) -> list[bytes]:
    """Header lines with the ids of answers from `first` on, as many as one hash proves.

    >>> [line[:9] for line in issue_lines("id", "pod", b"secret", 14)]
    [b'id: pod.e', b'id: pod.f']
    """
    number, at = divmod(first, NONCES_IN_HASH)
    proofs = _nonces(secret, number).encode()
    stem = f"{header}: {member}.{hex(first)[2:-1]}".encode()  # they differ in the last digit only
    last = first % len(_LAST_DIGITS)
    lines: list[bytes] = []
    for start in range(at * NONCE_DIGITS, len(proofs), NONCE_DIGITS):
        proof = proofs[start : start + NONCE_DIGITS]
        lines.append(stem + _LAST_DIGITS[last] + proof + b"\r\n")
        last += 1
    return lines


def parse(text: str) -> InferenceId | None:
    """The parts of an id; None for anything that has not the form of one."""
    found = _FORM.fullmatch(text) if len(text) <= 128 else None
    if found is None:
        return None
    member, sequence, proof = found.groups()
    return InferenceId(member, int(sequence, 16), proof)


def genuine(id_: InferenceId, secret: bytes) -> bool:
    """Whether the id was issued with this secret."""
    return hmac.compare_digest(nonce(secret, id_.sequence), id_.nonce)
