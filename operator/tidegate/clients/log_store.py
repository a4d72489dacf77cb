"""Where logs of predictions and decisions go: small objects put into a bucket.

A library for S3 would cost each sidecar, and the operator, 11 MiB (obstore) to 40 MiB (boto3) for
one kind of request.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from tidegate.api.names import Reason
from tidegate.clients.signature import Credentials, path_of, signed
from tidegate.errors import TerminalError, TransientError, said

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
ANSWER_LIMIT_BYTES = 4096
DEFAULT_REGION = "us-east-1"
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_SAID = re.compile(r"<(Code|Message)>([^<]*)</")
_PRINTABLE = re.compile(r"[!-~]+")


class LogStore:
    """A folder of a bucket; each call is one attempt."""

    def __init__(
        self,
        folder: URL,
        credentials: Credentials,
        region: str,
        session: aiohttp.ClientSession,
        clock: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._credentials = credentials
        self._region = region
        self._session = session
        self._clock = clock

    @classmethod
    def from_environment(
        cls,
        uri: str,
        environment: Mapping[str, str],
        session: aiohttp.ClientSession,
        clock: Callable[[], datetime],
    ) -> "LogStore":
        """Raise TerminalError without credentials: a pod must never act as its node."""
        region = environment.get("AWS_REGION") or DEFAULT_REGION
        folder = _folder(uri, environment.get("AWS_ENDPOINT_URL", ""), region)
        return cls(folder, _credentials(uri, environment), region, session, clock)

    def url(self, key: str) -> URL:
        """Where an object of that key lies."""
        above = self._folder.raw_path.rstrip("/")
        return self._folder.with_path(above + path_of(key), encoded=True)

    async def put(self, key: str, body: bytes) -> None:
        """Store an object; the store refuses it if it changes on the way."""
        url = self.url(key)
        host = url.host_port_subcomponent or ""
        headers = signed(
            "PUT", host, url.raw_path, body, self._credentials, self._region, self._clock()
        )
        try:
            async with self._session.put(
                url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as answer:
                told = await answer.content.read(ANSWER_LIMIT_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransientError(f"{url}: {said(error)}") from error
        if not 200 <= answer.status < 300:
            raise _refusal(url, answer.status, told.decode(errors="replace"))


def _credentials(uri: str, environment: Mapping[str, str]) -> Credentials:
    names = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
    key, secret = (environment.get(name, "") for name in names)
    token = environment.get("AWS_SESSION_TOKEN", "")
    if not key or not secret:
        message = f"{uri}: no credentials; name a Secret with {' and '.join(names)}"
        raise TerminalError(Reason.ACCESS_DENIED, message)
    if not all(_PRINTABLE.fullmatch(text) for text in (key, secret, token or "-")):
        message = f"{uri}: the credentials in the Secret hold a blank or a line break; remove it"
        raise TerminalError(Reason.ACCESS_DENIED, message)
    return Credentials(key, secret, token)


def _folder(uri: str, endpoint: str, region: str) -> URL:
    """The URL of the folder, without a slash at its end."""
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    parts = [path.strip("/")] if path.strip("/") else []
    if not endpoint and "." not in bucket:
        return URL(f"https://{bucket}.s3.{region}.amazonaws.com{path_of(*parts)}", encoded=True)
    # Not every server resolves bucket.host, and no certificate covers a bucket with dots.
    endpoint = endpoint or f"https://s3.{region}.amazonaws.com"
    split = urlsplit(endpoint)
    if split.scheme not in ("http", "https") or not split.hostname:
        message = f"AWS_ENDPOINT_URL {endpoint!r} is no http:// or https:// address"
        raise TerminalError(Reason.INVALID_SPEC, message)
    return URL(f"{endpoint.rstrip('/')}{path_of(bucket, *parts)}", encoded=True)


def _refusal(url: URL, status: int, text: str) -> TransientError | TerminalError:
    told = " ".join(value for _, value in _SAID.findall(text))
    message = f"{url}: the store answered {status} {told}".rstrip()
    if status >= 500 or status in _PASSING:
        return TransientError(message)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return TerminalError(Reason.ACCESS_DENIED, message)
    if status == HTTPStatus.NOT_FOUND:
        return TerminalError(Reason.INPUT_NOT_FOUND, message)
    return TerminalError(Reason.INVALID_SPEC, message)
