"""Reading the head of a request or an answer: what the proxy must know, and nothing else.

A head is passed on byte for byte, so it must mean the same to whoever reads it next. What the
grammar of RFC 9110 and RFC 9112 does not allow is refused, also where they let a reader be lenient.
"""

import re
from dataclasses import dataclass

from tidegate.api.names import HEADER_ID, HEADER_ROUTED
from tidegate.sidecar.framing import FIELD_LINE, Chunked, Framing, Length, UntilClose

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT_BYTES = 65536
LENGTH_DIGITS = 18  # less than 2^63

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
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class HeadError(Exception):
    """The head breaks the rules of HTTP/1.1 or is ambiguous about where the body ends."""


@dataclass(slots=True)
class RequestHead:
    """A request's head, as it came, and what follows from it."""

    raw: bytes
    method: bytes
    path: bytes
    framing: Framing
    chunked: bool
    keep_alive: bool
    encoding: bytes
    wrapped: bool
    """Whether the bytes of the body are not its content: chunked, or encoded."""
    routed: bytes | None
    """The value of x-tidegate-routed."""


@dataclass(slots=True)
class ResponseHead:
    """An answer's head, as it came, and what follows from it."""

    raw: bytes
    status: int
    framing: Framing
    chunked: bool
    keep_alive: bool
    encoding: bytes
    wrapped: bool
    has_id: bool


def parse_request(raw: bytes) -> RequestHead:
    """Raise HeadError if the head can't be trusted."""
    match = _REQUEST.fullmatch(raw)
    if match is None:
        raise HeadError("the head is not HTTP/1.1")
    method, target, minor = match.groups()
    if method == b"CONNECT":
        raise HeadError("CONNECT is for forward proxies")
    fields = _wanted(raw)
    chunked = _chunked(fields)
    if minor == b"0" and chunked:
        raise HeadError("HTTP/1.0 has no transfer codings")
    if not _AUTHORITY.fullmatch(_host(fields, minor)):
        raise HeadError("Host is not a host")
    encoding = _encoding(fields)
    return RequestHead(
        raw,
        method,
        target.partition(b"?")[0],
        Chunked() if chunked else Length(_length(fields) or 0),
        chunked,
        _keep_alive(fields, minor),
        encoding,
        chunked or encoding != b"",
        fields.get(_ROUTED),
    )


def parse_response(raw: bytes, request_method: bytes) -> ResponseHead:
    """Raise HeadError if the head can't be trusted."""
    match = _RESPONSE.fullmatch(raw)
    if match is None:
        raise HeadError("the answer's head is not HTTP/1.1")
    minor, code = match.groups()
    status = int(code)
    fields = _wanted(raw)
    chunked = _chunked(fields)
    framing = _response_framing(fields, status, request_method, chunked=chunked)
    encoding = _encoding(fields)
    return ResponseHead(
        raw,
        status,
        framing,
        chunked,
        _keep_alive(fields, minor) and type(framing) is not UntilClose,
        encoding,
        chunked or encoding != b"",
        _ID in fields,
    )


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
    coding = fields.get(_CODING)
    if coding is None:
        return False
    if coding.lower() != b"chunked":
        raise HeadError(f"transfer coding {coding!r} is not supported")
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


def _host(fields: dict[bytes, bytes], minor: bytes) -> bytes:
    host = fields.get(_HOST)
    if host is None and minor == b"1":
        raise HeadError("Host is missing")
    return host or b""


def _keep_alive(fields: dict[bytes, bytes], minor: bytes) -> bool:
    value = fields.get(_CONNECTION)
    if value is None or value == b"keep-alive":
        return minor == b"1" or value is not None
    options = {option.strip() for option in value.lower().split(b",")}
    return b"close" not in options and (minor == b"1" or b"keep-alive" in options)


def _encoding(fields: dict[bytes, bytes]) -> bytes:
    value = fields.get(_ENCODING)
    return b"" if value is None else value.strip().lower()


def _response_framing(
    fields: dict[bytes, bytes], status: int, method: bytes, *, chunked: bool
) -> Framing:
    if method == b"HEAD" or status < 200 or status in _NO_BODY:
        return Length(0)
    if chunked:
        return Chunked()
    length = _length(fields)
    return UntilClose() if length is None else Length(length)
