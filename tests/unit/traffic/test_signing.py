import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import TerminalError
from tidegate.traffic.signing import (
    CLOCK_SKEW_SECONDS,
    TOKEN_LIFETIME_SECONDS,
    mint_token,
    seal,
    token_is_valid,
    unseal,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
NOW = 1_800_000_000.0


@given(document=st.text(st.characters(codec="utf-8"), max_size=50))
def test_a_sealed_document_opens_with_the_right_key_only(document: str) -> None:
    envelope = seal(document, KEY)
    assert unseal(envelope, KEY.public_key()) == document
    with pytest.raises(TerminalError):
        unseal(envelope, OTHER.public_key())


@pytest.mark.parametrize(
    "envelope",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"document": 1, "signature": "AAAA"}',
        '{"document": "a", "signature": "no base64"}',
        '{"document": "a", "signature": null}',
    ],
)
def test_what_is_no_envelope_is_refused(envelope: str) -> None:
    with pytest.raises(TerminalError) as caught:
        unseal(envelope, KEY.public_key())
    assert caught.value.reason == "BadSignature"


def test_a_changed_document_is_refused() -> None:
    parts = json.loads(seal("weight 5", KEY))
    parts["document"] = "weight 6"
    with pytest.raises(TerminalError):
        unseal(json.dumps(parts), KEY.public_key())


def test_a_token_is_for_one_pod_and_a_minute() -> None:
    token = mint_token(KEY, "pod-1", NOW)
    last = NOW + TOKEN_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS
    assert token_is_valid(token, KEY.public_key(), "pod-1", NOW)
    assert token_is_valid(token, KEY.public_key(), "pod-1", last - 1)
    assert not token_is_valid(token, KEY.public_key(), "pod-1", last)
    assert not token_is_valid(token, KEY.public_key(), "pod-2", NOW)
    assert not token_is_valid(token, OTHER.public_key(), "pod-1", NOW)


@given(token=st.text(max_size=80))
def test_any_other_text_is_no_token(token: str) -> None:
    assert not token_is_valid(token, KEY.public_key(), "pod-1", NOW)
