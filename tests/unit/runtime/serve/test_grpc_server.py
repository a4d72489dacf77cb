"""The gRPC server over its protocol: a real client, and the messages that Triton's client sends."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.patience import DEADLINE_SECONDS
from tests.unit.runtime.jobs import job, people, workspace

from tidegate.runtime.predictor import load
from tidegate.runtime.serve.grpc_server import GrpcServer
from tidegate.runtime.serve.messages import SERVICE, message_types
from tidegate.runtime.serve.model import IN_FLIGHT_BYTES, Limits, ServedModel
from tidegate.runtime.serve.tensors import raw_of, values_of_raw
from tidegate.runtime.train import train

TYPES = message_types()
TRITON = json.loads(Path(__file__).with_name("triton_requests.json").read_text())
LIMIT_BYTES = 100_000
Call = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("job")
    train(job(data={"features": ["age", "plan", "paid"]}), workspace(path, train=people()))
    return path / "out"


@pytest.fixture
def model(folder: Path) -> ServedModel:
    limits = Limits(body_bytes=LIMIT_BYTES, rows=10)
    return ServedModel("churn", load(folder, allow_unsafe=False), limits)


@pytest.fixture
async def call(model: ServedModel, tmp_path: Path) -> AsyncIterator[Call]:
    """Calls a method with a message, or with its bytes."""
    address = f"unix:{tmp_path}/model.sock"
    server = GrpcServer(model, address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:

        async def ask(method: str, request: Any = b"") -> Any:
            raw = request if isinstance(request, bytes) else request.SerializeToString()
            answer = await channel.unary_unary(f"/{SERVICE}/{method}")(
                raw, timeout=DEADLINE_SECONDS
            )
            return TYPES[f"{method.removesuffix('Request')}Response"].FromString(answer)

        yield ask
    await server.stop(0)


def infer(**tensors: tuple[str, list[Any]]) -> Any:
    """A request whose values stand in the lists of their types."""
    request = TYPES["ModelInferRequest"](model_name="churn", id="7")
    lists = {"FP64": "fp64_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}
    for name, (datatype, values) in tensors.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        getattr(tensor.contents, lists[datatype]).extend(values)
    return request


AGE = ("FP64", [70.0, float("nan")])
PLAN = ("BYTES", [b"pro", b""])
PAID = ("BOOL", [True, False])


async def test_tells_what_it_is(call: Call, model: ServedModel) -> None:
    assert (await call("ServerLive")).live
    assert (await call("ServerReady")).ready
    assert (await call("ServerMetadata")).name == "tidegate"
    asked = TYPES["ModelReadyRequest"](name="churn")
    assert (await call("ModelReady", asked)).ready
    metadata = await call("ModelMetadata", TYPES["ModelMetadataRequest"](name="churn"))
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [
        ("age", "FP64", [-1]),
        ("plan", "BYTES", [-1]),
        ("paid", "BYTES", [-1]),
    ]
    assert [(o.name, list(o.shape)) for o in metadata.outputs] == [
        ("predict", [-1]),
        ("predict_proba", [-1, 2]),
    ]
    model.draining = True
    assert not (await call("ServerReady")).ready


async def test_answers_in_the_lists_of_their_types(call: Call) -> None:
    answer = await call("ModelInfer", infer(age=AGE, plan=PLAN, paid=PAID))
    assert (answer.model_name, answer.id) == ("churn", "7")
    labels, probabilities = answer.outputs
    assert next(iter(labels.contents.bytes_contents)) == b"yes"
    assert list(probabilities.shape) == [2, 2]
    assert sum(probabilities.contents.fp64_contents) == pytest.approx(2)
    assert not answer.raw_output_contents


@pytest.mark.parametrize(
    ("recorded", "outputs", "rows"),
    [
        ("columns", ["predict", "predict_proba"], 2),
        ("rows", ["predict", "predict_proba"], 1),
        ("probabilities", ["predict_proba"], 2),
        ("narrow", ["predict", "predict_proba"], 1),
    ],
)
async def test_answers_tritons_client_in_raw_bytes_as_it_asks(
    call: Call, recorded: str, outputs: list[str], rows: int
) -> None:
    answer = await call("ModelInfer", base64.b64decode(TRITON[recorded]))
    assert [o.name for o in answer.outputs] == outputs
    assert not any(o.HasField("contents") for o in answer.outputs)
    probabilities = np.frombuffer(answer.raw_output_contents[-1], "<f8").reshape(rows, 2)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert probabilities[0, 1] > 0.9
    if "predict" in outputs:
        assert values_of_raw("predict", "BYTES", answer.raw_output_contents[0])[0] == "yes"


async def refusal(answer: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    return caught.value.code(), str(caught.value.details())


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"age": AGE, "plan": PLAN}, "missing: paid"),
        ({"age": ("BYTES", [b"old", b""]), "plan": PLAN, "paid": PAID}, "feature 'age'"),
        ({"age": ("FP64", [1.0] * 11), "plan": PLAN, "paid": PAID}, "11 rows in one request"),
        ({"age": ("BYTES", [b"\xff", b""]), "plan": PLAN, "paid": PAID}, "no UTF-8"),
        ({}, '"inputs" must be a list'),
    ],
)
async def test_bad_tensors_are_told(
    call: Call, tensors: dict[str, tuple[str, list[Any]]], words: str
) -> None:
    code, message = await refusal(call("ModelInfer", infer(**tensors)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in message


async def test_raw_contents_must_fit_their_tensors(call: Call) -> None:
    request = TYPES["ModelInferRequest"].FromString(base64.b64decode(TRITON["columns"]))
    request.raw_input_contents[1] = request.raw_input_contents[1][:-1]
    code, message = await refusal(call("ModelInfer", request))
    assert (code, "break off" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    request.raw_input_contents[0] = b"123"
    assert "no whole number of FP64" in (await refusal(call("ModelInfer", request)))[1]
    request.inputs[0].datatype = "BF16"
    assert "known are BOOL" in (await refusal(call("ModelInfer", request)))[1]
    del request.raw_input_contents[2]
    assert "2 raw_input_contents" in (await refusal(call("ModelInfer", request)))[1]


async def test_other_models_versions_and_messages_are_refused(call: Call) -> None:
    other = TYPES["ModelReadyRequest"](name="other")
    assert await refusal(call("ModelReady", other)) == (
        grpc.StatusCode.NOT_FOUND,
        "there is no model 'other' here, only 'churn'",
    )
    request = infer(age=AGE, plan=PLAN, paid=PAID)
    request.model_version = "3"
    code, message = await refusal(call("ModelInfer", request))
    assert (code, "leave model_version empty" in message) == (grpc.StatusCode.NOT_FOUND, True)
    code, _ = await refusal(call("ModelInfer", b"\xff"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_bytes_are_bounded(call: Call, model: ServedModel) -> None:
    request = infer(age=AGE, plan=PLAN, paid=PAID)
    model.hold(IN_FLIGHT_BYTES)
    assert (await refusal(call("ModelInfer", request)))[0] is grpc.StatusCode.UNAVAILABLE
    model.release(IN_FLIGHT_BYTES)
    assert (await call("ModelInfer", request)).id == "7"
    request.id = "x" * LIMIT_BYTES
    code, _ = await refusal(call("ModelInfer", request))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_clients_are_told_to_connect_anew(model: ServedModel, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/model.sock"
    server = GrpcServer(model, address, connection_seconds=0.05)
    await server.start()
    request = infer(age=AGE, plan=PLAN, paid=PAID).SerializeToString()
    try:
        async with (
            grpc.aio.insecure_channel(address) as channel,
            asyncio.timeout(DEADLINE_SECONDS),
        ):
            ask = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            assert await ask(request)
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            assert await ask(request)  # over a new connection
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("INT64", [-1, 2]),
        ("FP64", [0.5, -1e300]),
        ("BOOL", [True, False]),
        ("BYTES", ["", "grün"]),
    ],
)
def test_raw_contents_come_back_as_they_went(datatype: str, values: list[Any]) -> None:
    assert values_of_raw("x", datatype, raw_of(datatype, values)) == values
