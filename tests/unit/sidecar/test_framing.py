import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.sidecar.framing import Chunked, FramingError, Length, UntilClose, unchunked

CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def chunked(chunks: list[bytes], trailer: bytes = b"") -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(c), c) for c in chunks]
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


@given(chunks=CHUNKS, after=st.binary(max_size=20), cut=st.integers(1, 9))
def test_a_chunked_body_ends_where_it_ends_however_it_is_cut(
    chunks: list[bytes], after: bytes, cut: int
) -> None:
    raw = chunked(chunks, b"X-Sum: 1\r\n")
    framing = Chunked()
    taken = 0
    stream = raw + after
    for at in range(0, len(stream), cut):
        taken += framing.take(stream[at : at + cut])
        if framing.done:
            break
    assert framing.done
    assert taken == len(raw)
    assert unchunked(raw) == b"".join(chunks)


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"-1\r\n",
        b"0x5\r\nhello",
        b"5\nhello",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n",
        b" 5\r\nhello\r\n",
        b"f" * 16 + b"\r\n",
        b"5;" + b"x" * 9000,
    ],
)
def test_broken_chunks_are_refused(raw: bytes) -> None:
    with pytest.raises(FramingError):
        Chunked().take(raw)


def test_endless_trailers_are_refused() -> None:
    trailer = b"X: " + b"y" * 1000 + b"\r\n"
    with pytest.raises(FramingError):
        Chunked().take(b"0\r\n" + 100 * trailer)


def test_a_body_of_known_length() -> None:
    framing = Length(5)
    assert (framing.take(b"abc"), framing.done) == (3, False)
    assert (framing.take(b"defg"), framing.done) == (2, True)
    assert Length(0).done


def test_a_body_until_the_connection_closes_never_ends_by_itself() -> None:
    framing = UntilClose()
    assert (framing.take(b"abc"), framing.done) == (3, False)
