"""The client against a real HTTP server that answers badly."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from tidegate.clients.objectstore import Location, ObjectStore, location
from tidegate.errors import TerminalError, TransientError

NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"
# What versitygw says of a key that it does not know.
NO_USER = b"<Error><Code>XAdminUserNotFound</Code><Message>No user has this key.</Message></Error>"
NO_TENANT = b"<Error><Code>NoSuchTenant</Code><Message>No tenant here.</Message></Error>"


@contextmanager
def store(status: int, body: bytes = b"", length: int | None = None) -> Iterator[ObjectStore]:
    """A store that gives one answer to all requests; a length beyond the body breaks it off."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        @override
        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield connect(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def connect(endpoint: str) -> ObjectStore:
    return ObjectStore.from_environment({"AWS_ENDPOINT_URL": endpoint})


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def download(client: ObjectStore, folder: Path, limit_bytes: int = 1000) -> str:
    uri = "s3://data/train.csv"
    return client.download(
        uri, folder / "x", limit_bytes=limit_bytes, progress=lambda _done, _all: None
    )


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_server_in_trouble_is_transient(tmp_path: Path, status: int) -> None:
    with store(status) as client, pytest.raises(TransientError, match=str(status)):
        download(client, tmp_path)


def test_a_connection_that_breaks_off_is_transient(tmp_path: Path) -> None:
    with store(200, b"half", length=100) as client, pytest.raises(TransientError):
        download(client, tmp_path)


def test_nobody_listening_is_transient(tmp_path: Path) -> None:
    with pytest.raises(TransientError):
        download(connect("http://127.0.0.1:1"), tmp_path)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, NO_KEY, "InputNotFound"),
        (404, b"", "InputNotFound"),
        (404, NO_USER, "AccessDenied"),
        (404, NO_TENANT, "InvalidSpec"),
        (403, b"", "AccessDenied"),
        (401, b"", "AccessDenied"),
        (400, b"", "InvalidSpec"),
    ],
)
def test_a_refusal_is_terminal(tmp_path: Path, status: int, body: bytes, reason: str) -> None:
    with store(status, body) as client, pytest.raises(TerminalError) as caught:
        download(client, tmp_path)
    assert caught.value.reason == reason


def test_an_object_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with store(200, b"x" * 100) as client, pytest.raises(TerminalError, match="larger than the 99"):
        download(client, tmp_path, limit_bytes=99)


def test_download_tells_the_digest(tmp_path: Path) -> None:
    with store(200, b"hello") as client:
        digest = download(client, tmp_path)
    assert (tmp_path / "x").read_bytes() == b"hello"
    assert digest == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_without_credentials_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
    with pytest.raises(TerminalError, match="credentialsRef") as caught:
        download(connect("http://127.0.0.1:1"), tmp_path)
    assert caught.value.reason == "AccessDenied"


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(TerminalError, match="AWS_ENDPOINT_URL 'minio:9000'"):
        connect("minio:9000")


@pytest.mark.parametrize("uri", ["", "models/churn/", "http://host/x", "s3://", "s3://bucket"])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(TerminalError):
        location(uri)


def test_location_of_a_bucket_itself() -> None:
    assert location("s3://models/") == Location("models", "")
