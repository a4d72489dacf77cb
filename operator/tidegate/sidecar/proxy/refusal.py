"""The proxy's own answers, in the place of the model's."""

_PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


def refusal(status: int, header: bytes = b"") -> bytes:
    """A whole answer, after which the connection closes; `header` is one more line of its head."""
    phrase = _PHRASES[status]
    head = (
        b"HTTP/1.1 %d %b\r\nconnection: close\r\ncontent-type: text/plain\r\n"
        b"content-length: %d\r\n" % (status, phrase, len(phrase))
    )
    if status == 503:
        head += b"retry-after: 1\r\n"
    return head + header + b"\r\n" + phrase
