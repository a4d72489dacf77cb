"""The records that the proxy sends to the monitor: packed headers, raw bodies, in one stream.

A record is a fixed header, the revision that answered, copies of both bodies, and what the caller
calls the request. Control records (`Kind.HELLO`, `ROUTING`, `TALLY`, `MARK`) carry JSON in place of
the first body.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

# length, kind, flags, status, arrival, generation, sequence, latency, and the sizes of the rest:
# revision, request, response, caller's id
_HEADER = struct.Struct("<IBHHdqQfHIIH")


class Kind(IntEnum):
    """What a record tells."""

    HELLO = 0
    """First on each connection: the secret of the ids and the slot that counting starts from."""
    ROUTING = 1
    """The routing document that the proxy acts on from here on."""
    TALLY = 2
    """Requests whose records found no room, as counts."""
    ANSWERED = 3
    UNREACHABLE = 4
    TIMEOUT = 5
    PAIRED = 6
    """A shadow copy: stable's answer in the place of the request, the candidate's behind it, and
    the candidate's status, 0 if there was none. NO_ROOM: the copy was not made."""
    MARK = 7
    """Nothing that was finished before `arrival` comes behind this; `sequence` is the number of
    requests that were counted up to here since the pod started, by this monitor or earlier ones.
    Where connections are passed on unread, it carries what was counted of them."""


_KINDS = tuple(Kind)  # by number: an enumeration takes longer to be asked


class Flag:
    """How the copied bodies are wrapped, or why they are not there.

    Bits of plain numbers: to join two members of an enumeration takes as long as to read a head.
    """

    REQUEST_CHUNKED: Final = 1
    RESPONSE_CHUNKED: Final = 2
    REQUEST_GZIP: Final = 4
    RESPONSE_GZIP: Final = 8
    OTHER_ENCODING: Final = 16
    TOO_LARGE: Final = 32
    INCOMPLETE: Final = 64
    NO_ROOM: Final = 128


class Record(NamedTuple):
    """One record; for control records only `kind` and `request` mean something."""

    kind: Kind
    flags: int = 0
    status: int = 0
    arrival: float = 0.0
    """Unix time of the request's first byte."""
    generation: int = 0
    sequence: int = 0
    latency: float = 0.0
    """Seconds until the first byte of the answer's content, or its head if it has none."""
    revision: str = ""
    request: bytes = b""
    response: bytes = b""
    caller_id: bytes = b""
    """The request's ce-id or x-request-id, if the prediction log needs it."""


def pack(record: Record) -> bytes:
    """The record as bytes."""
    request, response, caller_id = record.request, record.response, record.caller_id
    revision = record.revision.encode()
    asked, answered = len(request), len(response)
    header = _HEADER.pack(
        _HEADER.size + len(revision) + asked + answered + len(caller_id),
        record.kind,
        record.flags,
        record.status,
        record.arrival,
        record.generation,
        record.sequence,
        record.latency,
        len(revision),
        asked,
        answered,
        len(caller_id),
    )
    return b"".join((header, revision, request, response, caller_id))


class Reader:
    """Cuts the byte stream into records again."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Record]:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEADER.size:
            fields = _HEADER.unpack_from(buffer, at)
            length, kind = fields[:2]
            flags, status, arrival, generation, sequence, latency = fields[2:8]
            name, request, response, caller_id = fields[8:]
            if len(buffer) - at < length:
                break
            text = at + _HEADER.size
            ask = text + name
            answer = ask + request
            caller = answer + response
            yield Record(
                _KINDS[kind],
                flags,
                status,
                arrival,
                generation,
                sequence,
                latency,
                buffer[text:ask].decode(),
                bytes(buffer[ask:answer]),
                bytes(buffer[answer:caller]),
                bytes(buffer[caller : caller + caller_id]),
            )
            at += length
        del buffer[:at]
