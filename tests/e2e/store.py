"""The S3 server of a namespace: tables for the training, and outages."""

import base64
import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
from tests.e2e.objects import BUCKET
from tests.e2e.place import Place, eventually
from tests.integration.apiserver import Manifest
from tests.integration.helm import ROOT

PORT = 7070


@dataclass(frozen=True, slots=True)
class Store:
    """An S3 server with a bucket."""

    place: Place
    kubeconfig: Path

    def start(self) -> None:
        """Make server, bucket and Secret; harmless when they are there."""
        image = f"{os.environ.get('REGISTRY', 'localhost')}/tidegate-s3:dev"
        command = (str(ROOT / "hack/cluster/cluster"), "s3", "--namespace", self.place.namespace)
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            (*command, "--bucket", BUCKET, "--image", image),
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        eventually(lambda: self.place.reaches("s3", PORT), "the way to the S3 server")

    def put(self, tables: Mapping[str, pd.DataFrame]) -> None:
        for key, table in tables.items():
            self.put_bytes(f"tables/{key}.csv", table.to_csv(index=False).encode())

    def put_bytes(self, key: str, body: bytes) -> None:
        self._client().put_object(Bucket=BUCKET, Key=key, Body=body)

    def get_bytes(self, key: str) -> bytes:
        body: bytes = self._client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        """What lies in the bucket below the prefix."""
        listed = self._client().list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [str(item["Key"]) for item in listed.get("Contents", ())]

    def republished(self, artifact: Manifest, name: str, changed: Mapping[str, bytes]) -> Manifest:
        """The same artifact under another name with some files changed, and the digest to it."""
        old, new = (f"models/{part}/" for part in (artifact["uri"].split("/")[-2], name))
        files = {key.removeprefix(old): self.get_bytes(key) for key in self.keys(old)}
        listing = ""
        for path, body in sorted({**files, **changed}.items()):
            self.put_bytes(f"{new}{path}", body)
            listing += f"{hashlib.sha256(body).hexdigest()}  {path}\n"
        digest = f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"
        return artifact | {"uri": f"s3://{BUCKET}/{new}", "digest": digest}

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nobody reaches the server while the block runs; what is stored stays."""
        self._select("nobody")
        eventually(lambda: not self.place.reaches("s3", PORT), "the outage")
        yield
        self._select("s3")
        eventually(lambda: self.place.reaches("s3", PORT), "the end of the outage")

    def _select(self, name: str) -> None:
        selector = {"app.kubernetes.io/name": name}
        self.place.patch("services", "s3", {"spec": {"selector": selector}})

    def _client(self) -> Any:
        secret = self.place.there("secrets", "s3")["data"]
        values = {k: base64.b64decode(v).decode() for k, v in secret.items()}
        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.place.address('s3')}:{PORT}",
            region_name=values["AWS_REGION"],
            aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
        )
