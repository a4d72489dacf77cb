"""Our signatures beside botocore's."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from tidegate.clients.signature import Credentials, path_of, signed

TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
NOW = datetime(2026, 11, 21, 6, 30, 59, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="module")
def same_time() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
        yield


@given(
    key=TEXT,
    secret=TEXT,
    token=st.just("") | TEXT,
    segments=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3),
    body=st.binary(max_size=20),
)
def test_botocore_signs_the_same(
    key: str, secret: str, token: str, segments: list[str], body: bytes
) -> None:
    path = path_of(*(s.replace("/", "") or "x" for s in segments))
    theirs = AWSRequest("PUT", f"http://logs.example.com{path}", data=body)
    S3SigV4Auth(BotoCredentials(key, secret, token or None), "s3", "eu-west-1").add_auth(theirs)
    ours = signed(
        "PUT", "logs.example.com", path, body, Credentials(key, secret, token), "eu-west-1", NOW
    )
    assert _signature(ours["authorization"]) == _signature(theirs.headers["Authorization"])


def _signature(authorization: str) -> str:
    return authorization.rpartition("Signature=")[2]
