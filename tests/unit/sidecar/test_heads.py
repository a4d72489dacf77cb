import pytest

from tidegate.sidecar.framing import Chunked, Length, UntilClose
from tidegate.sidecar.proxy.heads import HeadError, parse_request, parse_response, with_header


def request(*lines: str, first: str = "POST /p?x=1 HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: x", *lines]).encode() + b"\r\n\r\n"


def answer(*lines: str, first: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([first, *lines]).encode() + b"\r\n\r\n"


def test_a_request_tells_its_path_and_mark() -> None:
    head = parse_request(request("X-Tidegate-Routed: 7", "Content-Encoding: GZIP"))
    assert (head.method, head.path, head.routed, head.encoding) == (b"POST", b"/p", b"7", b"gzip")
    assert head.framing().done


@pytest.mark.parametrize(
    ("first", "lines", "want"),
    [
        ("GET / HTTP/1.1", [], True),
        ("GET / HTTP/1.1", ["Connection: close"], False),
        ("GET / HTTP/1.1", ["Connection: keep-alive, Close"], False),
        ("GET / HTTP/1.0", [], False),
        ("GET / HTTP/1.0", ["Connection: Keep-Alive"], True),
    ],
)
def test_how_long_a_connection_lasts(first: str, lines: list[str], want: bool) -> None:
    assert parse_request(request(*lines, first=first)).keep_alive is want


@pytest.mark.parametrize(
    "raw",
    [
        request("Content-Length: 1", "Transfer-Encoding: chunked"),
        request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        request("Transfer-Encoding: gzip, chunked"),
        request("Content-Length: 1, 1"),
        request("Content-Length: +1"),
        request("Content-Length: "),
        request(first="CONNECT x:80 HTTP/1.1"),
        request(first="PRI * HTTP/2.0"),
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ],
)
def test_requests_that_can_be_read_in_two_ways_are_refused(raw: bytes) -> None:
    with pytest.raises(HeadError):
        parse_request(raw)


@pytest.mark.parametrize(
    ("raw", "method", "want"),
    [
        (answer("Content-Length: 5"), b"POST", Length),
        (answer("Transfer-Encoding: chunked"), b"POST", Chunked),
        (answer(), b"POST", UntilClose),
        (answer("Content-Length: 5"), b"HEAD", Length),
        (answer(first="HTTP/1.1 304 Not Modified"), b"GET", Length),
    ],
)
def test_where_an_answer_ends(raw: bytes, method: bytes, want: type) -> None:
    head = parse_response(raw, method)
    assert type(head.framing()) is want
    assert head.keep_alive is (want is not UntilClose)


def test_an_answer_to_head_has_no_body() -> None:
    assert parse_response(answer("Content-Length: 5"), b"HEAD").framing().done


def test_a_header_is_added_at_the_end() -> None:
    assert with_header(request(), b"a: b") == request("a: b")


def test_headers_that_follow_each_other_are_all_seen() -> None:
    lines = [
        "Connection: close",
        "Content-Length:\t5 ",
        "X-Tidegate-Routed:7",
        "Content-Encoding: gzip",
    ]
    head = parse_request(request(*lines))
    assert (head.keep_alive, head.routed, head.encoding) == (False, b"7", b"gzip")
    assert head.framing().take(b"hello and more") == 5


def test_a_head_that_comes_again_frames_its_own_body() -> None:
    raw = request("Content-Length: 5")
    first, second = (parse_request(bytes(bytearray(raw))).framing() for _ in range(2))
    assert (first.take(b"one"), second.take(b"first")) == (3, 5)
    assert (first.done, second.done) == (False, True)


def test_heads_that_differ_only_in_their_answer_to_head_are_told_apart() -> None:
    raw = answer("Content-Length: 5")
    assert not parse_response(raw, b"POST").framing().done
    assert parse_response(raw, b"HEAD").framing().done
