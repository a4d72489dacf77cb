"""What a served model was asked lies in the bucket when its pods are gone."""

import json

import zstandard
from tests.e2e.objects import BUCKET, CREDENTIALS, ERRORS, canary, model
from tests.e2e.place import eventually
from tests.e2e.scenes import clients, served
from tests.e2e.store import Store
from tests.integration.apiserver import Manifest

NAME = "logged"
ENOUGH = 50


def test_predictions_are_in_the_bucket(store: Store, artifacts: dict[str, Manifest]) -> None:
    place = store.place
    log = {"uri": f"s3://{BUCKET}/logs/", "percent": 100, "credentialsRef": CREDENTIALS}
    manifest = model(NAME, artifacts["tree"], canary({"setWeight": 50}, metrics=(ERRORS,)))
    manifest["spec"]["serving"]["sidecar"]["log"] = log
    with served(place, manifest) as revision, clients(place, NAME) as load:
        eventually(lambda: len(load.answers) >= ENOUGH, f"{ENOUGH} answers")
        load.stop()
    answers = len(load.answers)
    prefix = f"logs/model={NAME}/revision={revision}/"

    def stored() -> list[str] | None:
        keys = store.keys(prefix)
        bodies = (unpacked(store.get_bytes(key)) for key in keys)
        lines = b"".join(bodies).decode().splitlines()
        return lines if len(lines) >= answers else None

    lines = [json.loads(line) for line in eventually(stored, "the flush")]
    assert len(lines) == len({line["id"] for line in lines}) == answers, "each answer once"
    assert {line["track"] for line in lines} == {"stable"}
    assert all(None not in line["features"].values() for line in lines)


def unpacked(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)
