"""From a copied body to its JSON document and to the raw bytes that may follow it."""

import json
import zlib
from typing import Any

import orjson

from tidegate.sidecar.framing import FramingError, unchunked
from tidegate.sidecar.monitor.payloads.table import VALUES_LIMIT, UnparsedError

CONTENT_LIMIT_BYTES = 4 << 20  # what a compressed body may grow to; reading it takes 16 times that
PARTS_LIMIT = 1 << 18  # lists and objects of one document: an empty list is ten times its text

_BINARY = b'"binary_data_size"'
_DECODER = json.JSONDecoder(strict=False)


def unwrapped(body: bytes, *, chunked: bool, gzipped: bool) -> bytes:
    """The content of a body without its transfer and content encoding."""
    if chunked:
        try:
            body = unchunked(body)
        except FramingError as error:
            raise UnparsedError("incomplete") from error
    return (_unpacked(body) if gzipped else body).lstrip()


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)  # with a gzip header
    try:
        content = unpacker.decompress(body, CONTENT_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise UnparsedError("encoding") from error
    if len(content) > CONTENT_LIMIT_BYTES:
        raise UnparsedError("too_large")
    if not unpacker.eof or unpacker.unused_data:
        raise UnparsedError("encoding")
    return content


def document(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON object of a body, and what stands behind it: the bytes of binary tensors.

    How long the JSON is follows from the JSON itself, so that no header has to be known.
    """
    check_parts(content)
    if _BINARY in content:
        found, end = _beginning(content)
    else:
        found, end = _json(content), len(content)
    if not isinstance(found, dict):
        raise UnparsedError("format")
    return found, content[end:]


def check_parts(content: bytes) -> None:
    """Raise UnparsedError if JSON could grow to many times its text in memory."""
    if len(content) > PARTS_LIMIT and (
        content.count(b",") > VALUES_LIMIT
        or content.count(b"[") + content.count(b"{") > PARTS_LIMIT
    ):
        raise UnparsedError("too_large")


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _lenient_json(content)


def _lenient_json(content: bytes) -> Any:
    """Slower, but takes NaN for a missing number, as many write it."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnparsedError("json") from error


def _beginning(content: bytes) -> tuple[Any, int]:
    """The JSON that bytes may follow, and where it ends."""
    try:
        _, end = _DECODER.raw_decode(content.decode("latin-1"))  # one character a byte
    except (ValueError, RecursionError) as error:
        raise UnparsedError("json") from error
    return _json(content[:end]), end
