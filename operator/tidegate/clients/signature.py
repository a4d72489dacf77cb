"""AWS Signature Version 4 for a request to S3, as its documentation lays it down.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs; a session token only with credentials that expire."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def path_of(*parts: str) -> str:
    """The path of a URL, encoded as it must be signed and sent.

    >>> path_of("logs", "model=churn/a b.zst")
    '/logs/model%3Dchurn/a%20b.zst'
    """
    return "".join(f"/{quote(part, safe='/-_.~')}" for part in parts)


def signed(
    method: str,
    host: str,
    path: str,
    body: bytes,
    credentials: Credentials,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """The headers of a request without a query; `path` is encoded."""
    digest = hashlib.sha256(body).hexdigest()
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = sorted(headers)
    listed = ";".join(names)
    lines = [f"{name}:{headers[name]}" for name in names]
    request = "\n".join([method, path, "", *lines, "", listed, digest])
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    signature = _signature(
        credentials.secret_key, scope, f"{ALGORITHM}\n{moment}\n{scope}\n{hashed}"
    )
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope},"
        f"SignedHeaders={listed},Signature={signature}"
    )
    return headers


def _signature(secret_key: str, scope: str, text: str) -> str:
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
