"""Where a message's body ends: HTTP/1.1 framing over raw bytes that are passed on unchanged."""

import re

from typing_extensions import override

LINE_LIMIT_BYTES = 8192  # of a chunk's size line or of a trailer
TRAILER_LIMIT_BYTES = 65536
# A name, a colon right behind it, and a value without control characters; no folded lines.
FIELD_LINE = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[\t ]*(?:;[\t -~\x80-\xff]*)?")
_TRAILER = re.compile(FIELD_LINE)
# A reader that takes these from a trailer would see another message than the one before it.
_NEVER_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"host"})


class FramingError(Exception):
    """The body's framing breaks the rules; where it ends can't be told."""


def cut(data: bytes, at: int) -> tuple[bytes, bytes]:
    """What lies before `at` and what behind; most often that is all, and then nothing is copied.

    >>> cut(b"answernext", 6)
    (b'answer', b'next')
    """
    return (data, b"") if at == len(data) else (data[:at], data[at:])


class Framing:
    """Tells how many of the bytes that come belong to the body; `done` when it is complete."""

    __slots__ = ("done",)

    def __init__(self, *, done: bool = False) -> None:
        self.done = done

    def take(self, data: bytes) -> int:
        raise NotImplementedError


class Length(Framing):
    """A body of known length."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        super().__init__(done=length == 0)
        self._left = length

    @override
    def take(self, data: bytes) -> int:
        taken = min(self._left, len(data))
        self._left -= taken
        self.done = self._left == 0
        return taken


class UntilClose(Framing):
    """A body that ends with its connection."""

    __slots__ = ()

    @override
    def take(self, data: bytes) -> int:
        return len(data)


class Chunked(Framing):
    """A chunked body, trailers included.

    `content`, if given, collects the bytes of the chunks.
    """

    __slots__ = ("_expect", "_left", "_line", "_trailer_bytes", "content")

    def __init__(self, content: list[bytes] | None = None) -> None:
        super().__init__()
        self.content = content
        self._left = 0
        self._line = b""
        self._expect = self._size
        self._trailer_bytes = 0

    @override
    def take(self, data: bytes) -> int:
        at = 0
        while at < len(data) and not self.done:
            at = self._skip(data, at) if self._left else self._read_line(data, at)
        return at

    def _skip(self, data: bytes, at: int) -> int:
        end = min(at + self._left, len(data))
        if self.content is not None:
            self.content.append(data[at:end])
        self._left -= end - at
        return end

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        self._line += data[at : end or len(data)]
        if len(self._line) > LINE_LIMIT_BYTES:
            raise FramingError("a chunk's line is too long")
        if not end:
            return len(data)
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise FramingError("a chunk's line does not end in CRLF")
        self._expect(line[:-2])
        return end

    def _size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise FramingError("a chunk does not begin with a hexadecimal size")
        self._left = int(match[1], 16)
        self._expect = self._end_of_chunk if self._left else self._trailer

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise FramingError("a chunk is longer than its size")
        self._expect = self._size

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > TRAILER_LIMIT_BYTES:
            raise FramingError("the trailers are too long")
        self.done = not line
        if line and not _TRAILER.fullmatch(line):
            raise FramingError("a trailer is not a header line")
        if line.partition(b":")[0].lower() in _NEVER_TRAILERS:
            raise FramingError("a trailer would frame the message anew")


def unchunked(body: bytes) -> bytes:
    """The content of a complete chunked body."""
    content: list[bytes] = []
    Chunked(content).take(body)
    return b"".join(content)
