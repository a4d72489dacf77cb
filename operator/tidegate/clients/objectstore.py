"""The object store (S3 and what speaks its protocol): list, download, upload, delete."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from tidegate.api.names import Reason
from tidegate.errors import TerminalError, TransientError

CHUNK_BYTES = 1 << 20
CONNECT_SECONDS, READ_SECONDS = 5, 30
PUT_LIMIT_BYTES = 5 << 30  # the protocol takes no larger object in one request
_DENIED = frozenset(
    {
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "XAdminUserNotFound",  # versitygw's, and with the status 404: it does not know the key
    }
)
_ABSENT = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "NotFound", "404"})
_BUSY = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"})


class Location(NamedTuple):
    """The two parts of an `s3://bucket/key` address."""

    bucket: str
    key: str


class Entry(NamedTuple):
    """One object below a folder."""

    path: str
    """Relative to the folder."""
    size: int


def location(uri: str) -> Location:
    """The bucket and the key that a URI names.

    >>> location("s3://models/churn/v1/")
    Location(bucket='models', key='churn/v1/')
    """
    scheme, separator, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket or not slash:
        raise TerminalError(Reason.INVALID_SPEC, f"{uri!r} is no address like s3://bucket/path")
    return Location(bucket, key)


class ObjectStore:
    """A connection; each call is one attempt: whoever calls decides how patient to be."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ObjectStore":
        """Connect as AWS_ENDPOINT_URL, AWS_REGION and the usual credential variables say."""
        session = botocore.session.get_session()
        # A pod without credentials must fail and not act as the node that it happens to run on.
        session.get_component("credential_provider").remove("iam-role")
        endpoint = environment.get("AWS_ENDPOINT_URL") or None
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": 1},
            # Not every server resolves bucket.host, nor knows the newer checksum trailers.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            client = boto3.Session(botocore_session=session).client(
                "s3", endpoint_url=endpoint, region_name=region or "us-east-1", config=config
            )
        except ValueError as error:
            message = f"AWS_ENDPOINT_URL {endpoint!r} is no http:// or https:// address"
            raise TerminalError(Reason.INVALID_SPEC, message) from error
        return cls(client)

    def entries(self, folder: str) -> list[Entry]:
        """The objects below a folder (a URI that ends in `/`), sorted by path."""
        bucket, prefix = location(folder)
        with _converted(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            )
            found = [
                Entry(item["Key"][len(prefix) :], int(item["Size"]))
                for page in pages
                for item in page.get("Contents", ())
            ]
        # Consoles make empty objects that end in a slash, to show a folder.
        return sorted(e for e in found if e.path and not e.path.endswith("/"))

    def download(
        self, uri: str, target: Path, *, limit_bytes: int, progress: Callable[[int, int], None]
    ) -> str:
        """Write an object to `target` and tell its digest; `progress` hears (bytes so far, all)."""
        bucket, key = location(uri)
        digest = hashlib.sha256()
        with _converted(uri):
            answer = self._client.get_object(Bucket=bucket, Key=key)
            total, done = int(answer["ContentLength"]), 0
            with closing(answer["Body"]) as body, target.open("wb") as file:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    done += len(chunk)
                    if done > limit_bytes:
                        message = f"{uri} is larger than the {limit_bytes} bytes that are allowed"
                        raise TerminalError(Reason.INVALID_SPEC, message)
                    digest.update(chunk)
                    file.write(chunk)
                    progress(done, total)
        if done != total:
            raise TransientError(f"{uri}: the connection broke after {done} of {total} bytes")
        return f"sha256:{digest.hexdigest()}"

    def upload(self, source: Path, uri: str) -> None:
        """Store a file; the store refuses it if it changes on the way."""
        size = source.stat().st_size
        if size > PUT_LIMIT_BYTES:
            message = f"{source.name} has {size} bytes; an object may have {PUT_LIMIT_BYTES}"
            raise TerminalError(Reason.INVALID_SPEC, message)
        bucket, key = location(uri)
        with source.open("rb") as file, _converted(uri):
            checksum = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            file.seek(0)
            self._client.put_object(
                Bucket=bucket,
                Key=key,
                Body=file,
                ContentLength=size,
                ContentMD5=base64.b64encode(checksum.digest()).decode(),
            )

    def delete(self, uri: str) -> None:
        """Remove an object; one that is not there is no error."""
        bucket, key = location(uri)
        with _converted(uri):
            self._client.delete_object(Bucket=bucket, Key=key)


@contextmanager
def _converted(uri: str) -> Iterator[None]:
    """Turn what boto3 raises into the two errors that leave a client."""
    try:
        yield
    except ClientError as error:
        raise _refusal(uri, error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        message = (
            f"{uri}: no credentials; name a Secret with AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY in credentialsRef ({error})"
        )
        raise TerminalError(Reason.ACCESS_DENIED, message) from error
    except (BotoConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise TransientError(f"{uri}: {error}") from error
    except BotoCoreError as error:
        raise TerminalError(Reason.INVALID_SPEC, f"{uri}: {error}") from error


def _refusal(uri: str, error: ClientError) -> TerminalError | TransientError:
    said = error.response.get("Error", {})
    code, text = str(said.get("Code", "")), str(said.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status >= 500 or status == 429 or code in _BUSY:
        return TransientError(f"{uri}: the store answered {status} {code} {text}".rstrip())
    if status in (401, 403) or code in _DENIED:
        message = f"{uri}: access denied ({code}: {text}); check the Secret in credentialsRef"
        return TerminalError(Reason.ACCESS_DENIED, f"{message} and what its key may do")
    if code in _ABSENT:
        what = "the bucket does not exist" if code == "NoSuchBucket" else "there is no such object"
        return TerminalError(Reason.INPUT_NOT_FOUND, f"{uri}: {what}; check the address")
    return TerminalError(Reason.INVALID_SPEC, f"{uri}: the store refused: {status} {code} {text}")
