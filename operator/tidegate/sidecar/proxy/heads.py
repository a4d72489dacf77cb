"""Reading the head of a request or an answer: what the proxy must know, and nothing else."""

from dataclasses import dataclass

import httptools

from tidegate.api.names import HEADER_ID, HEADER_ROUTED
from tidegate.sidecar.framing import Chunked, Framing, Length, UntilClose

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT_BYTES = 65536

_LENGTH, _CODING = b"content-length", b"transfer-encoding"
_CONNECTION, _ENCODING = b"connection", b"content-encoding"
_ROUTED, _ID = HEADER_ROUTED.encode(), HEADER_ID.encode()
_WANTED = frozenset({_LENGTH, _CODING, _CONNECTION, _ENCODING, _ROUTED, _ID})
_NO_BODY = frozenset({204, 304})


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
    has_id: bool


class _Headers:
    """What httptools calls back; it checks the syntax strictly."""

    __slots__ = ("found", "url")

    def __init__(self) -> None:
        self.url = b""
        self.found: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name not in _WANTED:
            return
        before = self.found.get(name)
        self.found[name] = value if before is None else before + b"," + value

    def chunked(self) -> bool:
        coding = self.found.get(_CODING)
        if coding is None:
            return False
        if coding.strip().lower() != b"chunked":
            raise HeadError(f"transfer coding {coding!r} is not supported")
        if _LENGTH in self.found:
            raise HeadError("both Content-Length and Transfer-Encoding are given")
        return True

    def length(self) -> int | None:
        text = self.found.get(_LENGTH)
        if text is None:
            return None
        if not text.isdigit():
            raise HeadError(f"Content-Length {text!r} is not a number")
        return int(text)

    def keep_alive(self, version: str) -> bool:
        options = self.found.get(_CONNECTION, b"").lower()
        return b"close" not in options if version == "1.1" else b"keep-alive" in options

    def encoding(self) -> bytes:
        return self.found.get(_ENCODING, b"").strip().lower()


def parse_request(raw: bytes) -> RequestHead:
    """Raise HeadError if the head can't be trusted."""
    headers = _Headers()
    parser = httptools.HttpRequestParser(headers)
    _feed(parser, raw)
    method = parser.get_method()
    if method == b"CONNECT":
        raise HeadError("CONNECT is for forward proxies")
    chunked = headers.chunked()
    return RequestHead(
        raw=raw,
        method=method,
        path=headers.url.partition(b"?")[0],
        framing=Chunked() if chunked else Length(headers.length() or 0),
        chunked=chunked,
        keep_alive=headers.keep_alive(parser.get_http_version()),
        encoding=headers.encoding(),
        routed=headers.found.get(_ROUTED),
    )


def parse_response(raw: bytes, request_method: bytes) -> ResponseHead:
    """Raise HeadError if the head can't be trusted."""
    headers = _Headers()
    parser = httptools.HttpResponseParser(headers)
    _feed(parser, raw)
    status = parser.get_status_code()
    chunked = headers.chunked()
    framing = _response_framing(headers, status, request_method, chunked=chunked)
    lasting = headers.keep_alive(parser.get_http_version())
    return ResponseHead(
        raw=raw,
        status=status,
        framing=framing,
        chunked=chunked,
        keep_alive=lasting and not isinstance(framing, UntilClose),
        encoding=headers.encoding(),
        has_id=_ID in headers.found,
    )


def _feed(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, raw: bytes) -> None:
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # only the answer 101 makes a tunnel of it
    except httptools.HttpParserError as error:
        raise HeadError(str(error)) from error


def _response_framing(headers: _Headers, status: int, method: bytes, *, chunked: bool) -> Framing:
    if method == b"HEAD" or status < 200 or status in _NO_BODY:
        return Length(0)
    if chunked:
        return Chunked()
    length = headers.length()
    return UntilClose() if length is None else Length(length)


def with_header(raw: bytes, line: bytes) -> bytes:
    """The head with one more header line at its end, all else unchanged."""
    return raw[:-2] + line + HEAD_END
