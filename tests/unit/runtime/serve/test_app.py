"""The application over its protocol, with a model that training made."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.runtime.jobs import job, people, workspace

from tidegate.runtime.predictor import load
from tidegate.runtime.serve.app import ModelApp
from tidegate.runtime.serve.model import Limits, ServedModel
from tidegate.runtime.train import train

INFER, PREDICT = "/v2/models/churn/infer", "/v1/models/churn:predict"
ROW = {"age": 70, "plan": "pro", "paid": True}
TENSOR = {"name": "rows", "shape": [1, 3], "datatype": "BYTES", "data": [70, "pro", True]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("job")
    train(job(data={"features": list(ROW)}), workspace(path, train=people()))
    return path / "out"


@pytest.fixture
def model(folder: Path) -> ServedModel:
    return ServedModel("churn", load(folder, allow_unsafe=False), Limits(body_bytes=5000, rows=10))


@pytest.fixture
async def client(model: ServedModel) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(ModelApp(model).application())
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as made:
        yield made


async def test_tells_what_it_is(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"ready": True}
    assert (await client.get("/v2")).json()["name"] == "tidegate"
    assert (await client.get("/v2/models/churn/ready")).json()["ready"]
    assert (await client.get("/v1/models/churn")).json() == {"name": "churn", "ready": True}
    metadata = (await client.get("/v2/models/churn")).json()
    assert [i["name"] for i in metadata["inputs"]] == ["age", "plan", "paid"]
    assert [i["datatype"] for i in metadata["inputs"]] == ["FP64", "BYTES", "BYTES"]
    assert metadata["outputs"] == [
        {"name": "predict", "datatype": "BYTES", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
    ]


async def test_both_protocols_give_the_same_answer(client: httpx.AsyncClient) -> None:
    v2 = (await client.post(INFER, json={"id": "7", "inputs": [TENSOR]})).json()
    assert v2["model_name"] == "churn"
    assert v2["id"] == "7"
    labels, probabilities = v2["outputs"]
    assert labels["data"] == ["yes"]
    assert sum(probabilities["data"]) == pytest.approx(1)
    v1 = (await client.post(PREDICT, json={"instances": [ROW]})).json()
    assert v1 == {"predictions": ["yes"]}


async def test_only_the_wanted_output_is_sent(client: httpx.AsyncClient) -> None:
    body = {"inputs": [TENSOR], "outputs": [{"name": "predict_proba"}]}
    outputs = (await client.post(INFER, json=body)).json()["outputs"]
    assert [o["name"] for o in outputs] == ["predict_proba"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**ROW, "age": "old"}, "feature 'age' takes numbers; row 0 has 'old'"),
        ({**ROW, "age": [1]}, "feature 'age' takes numbers"),
        ({**ROW, "plan": {"x": 1}}, "feature 'plan' takes categories"),
        ({"age": 1, "plan": "pro"}, "missing: paid"),
    ],
)
async def test_bad_values_are_told(
    client: httpx.AsyncClient, row: dict[str, Any], words: str
) -> None:
    answer = await client.post(PREDICT, json={"instances": [row]})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


async def test_other_requests_are_refused_as_json(client: httpx.AsyncClient) -> None:
    body = {"instances": [ROW]}
    assert (await client.post(PREDICT, content=b"{")).status_code == 400
    assert (await client.post("/v1/models/other:predict", json=body)).status_code == 404
    assert "only 'churn'" in (await client.get("/v2/models/other")).json()["error"]
    assert (await client.get("/nothing")).json() == {"error": "there is nothing at /nothing"}
    assert (await client.get(INFER)).status_code == 405
    binary = await client.post(
        INFER, content=b"{}", headers={"Inference-Header-Content-Length": "2"}
    )
    assert binary.status_code == 400


@pytest.mark.parametrize("half", ["id", "name"])
async def test_half_of_a_character_is_the_clients_fault(
    client: httpx.AsyncClient, half: str
) -> None:
    request = {"id": "7", "inputs": [TENSOR]}
    text = json.dumps(request if half == "name" else {**request, "id": "\ud83d"})
    body = text.replace('"rows"', '"\\ud83d"') if half == "name" else text
    refused = await client.post(INFER, content=body.encode())
    assert refused.status_code == 400
    assert "surrogates" in refused.json()["error"]


async def test_rows_and_bytes_are_bounded(client: httpx.AsyncClient) -> None:
    many = await client.post(PREDICT, json={"instances": [ROW] * 11})
    assert many.status_code == 400
    large = await client.post(PREDICT, content=b"x" * 5001)
    assert large.status_code == 413
    again = await client.post(PREDICT, json={"instances": [ROW]})
    assert again.status_code == 200


async def test_requests_at_once_are_all_answered(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post(PREDICT, json={"instances": [ROW] * 5}) for _ in range(20))
    )
    assert {a.status_code for a in answers} == {200}


async def test_not_ready_while_it_drains_but_still_answering(
    model: ServedModel, client: httpx.AsyncClient
) -> None:
    model.draining = True
    assert (await client.get("/v2/health/ready")).status_code == 503
    assert (await client.get("/v2/health/live")).status_code == 200
    assert (await client.post(PREDICT, json={"instances": [ROW]})).status_code == 200
