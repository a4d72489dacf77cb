import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tidegate.traffic.marks import KEY_BYTES, Kind, Mark, read, signed
from tidegate.traffic.signing import mark_key

KEY = b"k" * KEY_BYTES


@given(kind=st.sampled_from(Kind), generation=st.integers(0, 10**15 - 1))
def test_a_mark_says_what_was_signed(kind: Kind, generation: int) -> None:
    assert read(KEY, signed(KEY, kind, generation)) == Mark(kind, generation)


@given(at=st.integers(0, 23), byte=st.integers(0, 255))
def test_a_mark_with_one_byte_changed_is_made_up(at: int, byte: int) -> None:
    genuine = signed(KEY, Kind.LOT, 123)
    changed = genuine[:at] + bytes([byte]) + genuine[at + 1 :]
    assert read(KEY, changed) == (Mark(Kind.LOT, 123) if changed == genuine else None)


@given(text=st.binary(max_size=40))
def test_nothing_is_taken_for_a_mark(text: bytes) -> None:
    assert read(KEY, text) is None


def test_another_key_makes_another_mark() -> None:
    assert read(b"o" * KEY_BYTES, signed(KEY, Kind.LOT, 1)) is None


def test_no_key_proves_nothing() -> None:
    assert read(b"", signed(b"", Kind.LOT, 1)) is None


def test_each_model_has_a_key_of_its_own_that_stays_the_same() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
    assert mark_key(private, "u-1") == mark_key(private, "u-1")
    assert mark_key(private, "u-1") != mark_key(private, "u-2")
    assert len(bytes.fromhex(mark_key(private, "u-1"))) == KEY_BYTES


def test_kinds_are_signed_too() -> None:
    shadow = signed(KEY, Kind.SHADOW, 1)
    assert read(KEY, shadow.replace(b"shadow", b"lot")) is None


@pytest.mark.parametrize("text", [b"1.other." + b"0" * 16, b"1.lot", b"", b"\xff.lot.00"])
def test_what_has_not_the_form_is_made_up(text: bytes) -> None:
    assert read(KEY, text) is None
