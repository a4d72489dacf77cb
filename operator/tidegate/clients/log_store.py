"""Where the prediction log goes: small objects put into a bucket, with little memory."""

from collections.abc import Mapping

import obstore
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from tidegate.api.names import Reason
from tidegate.errors import TerminalError, TransientError

CONNECT_TIMEOUT, REQUEST_TIMEOUT = "5s", "30s"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
SESSION_TOKEN, ENDPOINT, REGION = "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"


class LogStore:
    """A folder of a bucket; each call is one attempt."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    @classmethod
    def from_environment(cls, uri: str, environment: Mapping[str, str]) -> "LogStore":
        """Raise TerminalError without credentials: a pod must never act as its node."""
        key, secret = (environment.get(name) for name in KEYS)
        if not key or not secret:
            message = f"{uri}: no credentials; name a Secret with {' and '.join(KEYS)}"
            raise TerminalError(Reason.ACCESS_DENIED, message)
        endpoint = environment.get(ENDPOINT) or None
        bucket, _, folder = uri.removeprefix("s3://").partition("/")
        try:
            store = S3Store(
                bucket,
                prefix=folder.strip("/") or None,
                access_key_id=key,
                secret_access_key=secret,
                session_token=environment.get(SESSION_TOKEN) or None,
                endpoint=endpoint,
                region=environment.get(REGION) or "us-east-1",
                # Not every server resolves bucket.host.
                virtual_hosted_style_request=endpoint is None,
                client_options={
                    "allow_http": True,
                    "connect_timeout": CONNECT_TIMEOUT,
                    "timeout": REQUEST_TIMEOUT,
                },
                retry_config={"max_retries": 0},
            )
        except (BaseError, ValueError) as error:
            raise TerminalError(Reason.INVALID_SPEC, f"{uri}: {error}") from error
        return cls(store)

    async def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        try:
            await obstore.put_async(self._store, key, body, use_multipart=False)
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise TerminalError(Reason.ACCESS_DENIED, f"{key}: {_first_line(error)}") from error
        except NotFoundError as error:
            message = f"{key}: there is no such bucket: {_first_line(error)}"
            raise TerminalError(Reason.INPUT_NOT_FOUND, message) from error
        except BaseError as error:
            raise TransientError(f"{key}: {_first_line(error)}") from error


def _first_line(error: BaseError) -> str:
    """Without the dump of its insides that follows."""
    return str(error).partition("\n")[0]
