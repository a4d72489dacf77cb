"""Signatures between operator and sidecars: Ed25519; sidecars know only the public key.

Two things are signed: the routing document, and the short-lived tokens with which the operator
asks a sidecar for its windows. A token is bound to one pod's uid and expires after a minute.
"""

import base64
import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tidegate.errors import TerminalError
from tidegate.traffic.marks import KEY_BYTES

TOKEN_LIFETIME_SECONDS = 60
CLOCK_SKEW_SECONDS = 30  # nodes whose clocks differ by less than this still talk


def public_pem(key: Ed25519PrivateKey) -> str:
    """The public half, as the text that sidecars mount."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def seal(document: str, key: Ed25519PrivateKey) -> str:
    """The document with its signature, as one JSON text."""
    signature = base64.b64encode(key.sign(document.encode())).decode()
    return json.dumps({"document": document, "signature": signature}, separators=(",", ":"))


def unseal(envelope: str, key: Ed25519PublicKey) -> str:
    """The document of an envelope; TerminalError(BadSignature) if the key does not fit it."""
    try:
        parts = json.loads(envelope)
        document, signature = parts["document"], base64.b64decode(parts["signature"])
        key.verify(signature, document.encode())
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TerminalError("BadSignature", "the document's signature does not fit") from error
    return str(document)


def mark_key(key: Ed25519PrivateKey, model_uid: str) -> str:
    """The key of a Model's marks: always the same one, and it tells nothing of the private key."""
    said = f"marks of {model_uid}".encode()
    return hashlib.blake2b(said, key=key.private_bytes_raw(), digest_size=KEY_BYTES).hexdigest()


def mint_token(key: Ed25519PrivateKey, audience: str, now: float) -> str:
    """A token with which the operator shows itself to the pod whose uid is `audience`."""
    claims = json.dumps({"aud": audience, "exp": int(now) + TOKEN_LIFETIME_SECONDS})
    body = base64.urlsafe_b64encode(claims.encode()).decode()
    return f"{body}.{base64.urlsafe_b64encode(key.sign(body.encode())).decode()}"


def token_is_valid(token: str, key: Ed25519PublicKey, audience: str, now: float) -> bool:
    """Whether the token was minted with the key, for this pod, and has not expired."""
    body, _, signature = token.partition(".")
    try:
        key.verify(base64.urlsafe_b64decode(signature), body.encode())
        claims = json.loads(base64.urlsafe_b64decode(body))
    except (InvalidSignature, ValueError):
        return False
    return bool(
        claims.get("aud") == audience and now < float(claims.get("exp", 0)) + CLOCK_SKEW_SECONDS
    )
