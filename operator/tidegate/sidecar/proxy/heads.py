"""Reading the head of a request or an answer: what the proxy must know, and nothing else.

A head is passed on byte for byte, so it must mean the same to whoever reads it next. What the
grammar of RFC 9110 and RFC 9112 does not allow is refused, also where they let a reader be lenient.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from tidegate.api.names import HEADER_ID, HEADER_ROUTED
from tidegate.sidecar.framing import FIELD_LINE, Chunked, Framing, Length, UntilClose

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT_BYTES = 65536
LENGTH_DIGITS = 18  # less than 2^63
# A client sends the same head again and again, so what was read of it is remembered. Long ones
# are not, so that this takes no more than a few MiB, whatever clients send.
HEADS_REMEMBERED = 512
REMEMBERED_BYTES = 2048

_LENGTH, _CODING = b"content-length", b"transfer-encoding"
_CONNECTION, _ENCODING, _HOST = b"connection", b"content-encoding", b"host"
_ROUTED, _ID = HEADER_ROUTED.encode(), HEADER_ID.encode()
_WANTED = (_LENGTH, _CODING, _CONNECTION, _ENCODING, _HOST, _ROUTED, _ID)
_NO_BODY = frozenset({204, 304})

# Possessive quantifiers (`++`, `*+`): a hostile head is read once, however it is made.
_FIELDS = rb"(?:%b\r\n)*+\r\n" % FIELD_LINE
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++) ([!-~]++) HTTP/1\.([01])\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*+)?\r\n" + _FIELDS)
_FOUND = re.compile(rb"\r\n(%b):[\t ]*+([^\r]*+)" % b"|".join(_WANTED), re.IGNORECASE)
_AUTHORITY = re.compile(rb"[0-9A-Za-z._~%!$&'()*+;=:\[\]-]*+")
_EVENTS = re.compile(
    rb"\r\ncontent-type:[\t ]*+"
    rb"(?:text/event-stream|application/(?:x-ndjson|jsonl|json-seq)|multipart/x-mixed-replace)"
    rb"[;\t \r]",
    re.IGNORECASE,
)
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class HeadError(Exception):
    """The head breaks the rules of HTTP/1.1 or is ambiguous about where the body ends."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head as it came, and what follows from it for the body and the connection."""

    raw: bytes
    chunked: bool
    length: int | None
    """Of a body that is not chunked; None if the connection's end is its end."""
    keep_alive: bool
    encoding: bytes

    @property
    def until_close(self) -> bool:
        """Whether the connection's end is the body's."""
        return self.length is None and not self.chunked

    @property
    def wrapped(self) -> bool:
        """Whether the bytes of the body are not its content."""
        return self.chunked or self.encoding != b""

    def framing(self) -> Framing:
        """Tells where a body that begins now will end."""
        if self.chunked:
            return Chunked()
        return UntilClose() if self.length is None else Length(self.length)


@dataclass(frozen=True, slots=True)
class RequestHead(Head):
    """A request's head."""

    method: bytes
    path: bytes
    routed: bytes | None
    """The value of x-tidegate-routed."""


@dataclass(frozen=True, slots=True)
class ResponseHead(Head):
    """An answer's head."""

    status: int
    has_id: bool
    lines: bytes
    """The head without the empty line that ends it."""

    @property
    def has_events(self) -> bool:
        """Whether silence is a part of the answer, because events come when they happen."""
        return _EVENTS.search(self.raw) is not None


def parse_request(raw: bytes) -> RequestHead:
    """Raise HeadError if the head can't be trusted."""
    return _remembered_request(raw) if len(raw) <= REMEMBERED_BYTES else _read_request(raw)


def parse_response(raw: bytes, request_method: bytes) -> ResponseHead:
    """Raise HeadError if the head can't be trusted."""
    read = _remembered_response if len(raw) <= REMEMBERED_BYTES else _read_response
    return read(raw, request_method)


def _read_request(raw: bytes) -> RequestHead:
    match = _REQUEST.fullmatch(raw)
    if match is None:
        raise HeadError("the head is not HTTP/1.1")
    method, target, minor = match.groups()
    if method == b"CONNECT":
        raise HeadError("CONNECT is for forward proxies")
    fields = _wanted(raw)
    chunked = _CODING in fields and _chunked(fields)
    if minor == b"0" and chunked:
        raise HeadError("HTTP/1.0 has no transfer codings")
    host = fields.get(_HOST)
    if not _AUTHORITY.fullmatch(host or b"") or (host is None and minor == b"1"):
        raise HeadError("Host is not one host")
    return RequestHead(
        raw,
        chunked,
        _length(fields) or 0,
        _keep_alive(fields[_CONNECTION], minor) if _CONNECTION in fields else minor == b"1",
        fields.get(_ENCODING, b"").lower(),
        method,
        target.partition(b"?")[0],
        fields.get(_ROUTED),
    )


def _read_response(raw: bytes, request_method: bytes) -> ResponseHead:
    match = _RESPONSE.fullmatch(raw)
    if match is None:
        raise HeadError("the answer's head is not HTTP/1.1")
    minor, code = match.groups()
    status = int(code)
    fields = _wanted(raw)
    chunked = _CODING in fields and _chunked(fields)
    length = _length(fields)
    if request_method == b"HEAD" or status < 200 or status in _NO_BODY:
        chunked, length = False, 0
    lasting = _keep_alive(fields[_CONNECTION], minor) if _CONNECTION in fields else minor == b"1"
    return ResponseHead(
        raw,
        chunked,
        length,
        lasting and (chunked or length is not None),
        fields.get(_ENCODING, b"").lower(),
        status,
        _ID in fields,
        raw[:-2],
    )


_remembered_request = lru_cache(HEADS_REMEMBERED)(_read_request)
_remembered_response = lru_cache(HEADS_REMEMBERED)(_read_response)


def malformed(beginning: bytes) -> bool:
    """Whether a head that has not ended yet can be refused already."""
    return len(beginning) > HEAD_LIMIT_BYTES or _BARE_LINE_FEED.search(beginning) is not None


def with_header(raw: bytes, line: bytes) -> bytes:
    """The head with one more header line at its end, all else unchanged."""
    return raw[:-2] + line + HEAD_END


def _wanted(raw: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for spelled, padded in _FOUND.findall(raw):
        name, value = spelled.lower(), padded.rstrip(b" \t")
        found[name] = value if name not in found else found[name] + b"," + value
    return found


def _chunked(fields: dict[bytes, bytes]) -> bool:
    if fields[_CODING].lower() != b"chunked":
        raise HeadError(f"transfer coding {fields[_CODING]!r} is not supported")
    if _LENGTH in fields:
        raise HeadError("both Content-Length and Transfer-Encoding are given")
    return True


def _length(fields: dict[bytes, bytes]) -> int | None:
    text = fields.get(_LENGTH)
    if text is None:
        return None
    if not text.isdigit() or len(text) > LENGTH_DIGITS:
        raise HeadError(f"Content-Length {text!r} is not one number")
    return int(text)


def _keep_alive(connection: bytes, minor: bytes) -> bool:
    lower = connection.lower()
    if minor == b"1" and b"close" not in lower:
        return True
    options = {option.strip() for option in lower.split(b",")}
    return b"close" not in options and (minor == b"1" or b"keep-alive" in options)
