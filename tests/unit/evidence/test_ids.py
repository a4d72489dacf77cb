import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.evidence.ids import genuine, issue, issue_lines, parse

SECRET = b"s" * 32


@given(sequence=st.integers(0, 2**64 - 1))
def test_an_issued_id_is_genuine_and_only_with_its_secret(sequence: int) -> None:
    id_ = parse(issue("pod-1", SECRET, sequence))
    assert id_ is not None
    assert (id_.member, id_.sequence) == ("pod-1", sequence)
    assert str(id_) == issue("pod-1", SECRET, sequence)
    assert genuine(id_, SECRET)
    assert not genuine(id_, b"t" * 32)
    assert not genuine(id_._replace(sequence=(sequence + 1) % 2**64), SECRET)


@given(text=st.text(max_size=200))
def test_any_text_is_an_id_or_none(text: str) -> None:
    id_ = parse(text)
    assert id_ is None or not genuine(id_, SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        ".1.0123456789abcdef",
        "pod.x.0123456789abcdef",
        "pod.1.short",
        "pod.11111111111111111.0123456789abcdef",
        "p" * 120 + ".1.0123456789abcdef",
        "pod.-1.0123456789abcdef",
        "pod.1_0.0123456789abcdef",
        "pod.1.0123456789abcdeé",
    ],
)
def test_what_is_no_id(text: str) -> None:
    assert parse(text) is None


def test_no_two_answers_share_a_nonce() -> None:
    ids = [parse(issue("pod", SECRET, sequence)) for sequence in range(1000)]
    assert len({id_.nonce for id_ in ids if id_ is not None}) == 1000


def test_ids_made_together_are_those_made_one_by_one() -> None:
    sequence = 1
    while sequence < 600:
        lines = issue_lines("x-id", "pod-1", SECRET, sequence)
        assert 0 < len(lines) <= 8
        ids = [issue("pod-1", SECRET, n) for n in range(sequence, sequence + len(lines))]
        assert lines == [f"x-id: {id_}\r\n".encode() for id_ in ids]
        sequence += len(lines)
