"""The HTTP application around one model."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.runtime.predictor import Predictor
from tidegate.runtime.serve import payload

IN_FLIGHT_BYTES = 64 << 20  # bodies held at once, all requests together; above it clients get 503
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 4 << 20
    rows: int = 10_000


class RequestError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ModelApp:
    """Answers for one model; predictions run in a thread, so that health answers stay quick."""

    def __init__(self, name: str, predictor: Predictor, limits: Limits) -> None:
        self._name = name
        self._predictor = predictor
        self._manifest = predictor.manifest
        self._limits = limits
        # One thread: scikit-learn holds the interpreter's lock most of the time, two would only
        # take turns, and a request in the queue costs less than one that is half done.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._held_bytes = 0
        self.draining = False

    def application(self) -> Starlette:
        v2, v1 = "/v2/models/{model}", "/v1/models/{model}"
        return Starlette(
            routes=[
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                Route("/v2", self._server_metadata),
                Route(v2, self._model_metadata),
                Route(f"{v2}/ready", self._model_ready),
                Route(f"{v2}/infer", self._infer, methods=["POST"]),
                Route(f"{v1}:predict", self._predict_v1, methods=["POST"]),
                Route(v1, self._model_v1),
            ],
            exception_handlers={RequestError: _rejected, 404: _not_found, 405: _not_allowed},
        )

    async def _live(self, _: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, _: Request) -> Response:
        return _json({"ready": not self.draining}, status=503 if self.draining else 200)

    async def _server_metadata(self, _: Request) -> Response:
        return _json({"name": "tidegate", "version": version("tidegate"), "extensions": []})

    async def _model_metadata(self, request: Request) -> Response:
        self._check_name(request)
        manifest = self._manifest
        kinds = {"number": "FP64", "category": "BYTES"}
        outputs = [
            {"name": payload.LABELS, "datatype": self._label_datatype(), "shape": [-1]},
        ]
        if manifest.task == "classification":
            shape = [-1, len(manifest.classes)]
            outputs.append({"name": payload.PROBABILITIES, "datatype": "FP64", "shape": shape})
        return _json(
            {
                "name": self._name,
                "platform": f"tidegate_{manifest.format.lower()}",
                "inputs": [
                    {"name": name, "datatype": kinds[manifest.kinds[name]], "shape": [-1]}
                    for name in manifest.features
                ],
                "outputs": outputs,
            }
        )

    async def _model_ready(self, request: Request) -> Response:
        self._check_name(request)
        return _json({"name": self._name, "ready": True})

    async def _model_v1(self, request: Request) -> Response:
        self._check_name(request)
        return _json({"name": self._name, "ready": True})

    async def _infer(self, request: Request) -> Response:
        self._check_name(request)
        if "inference-header-content-length" in request.headers:
            raise RequestError(400, "binary tensors are not supported; send the data as JSON")

        def work(data: Mapping[str, Any]) -> dict[str, Any]:
            wanted = payload.wanted_outputs(data)
            columns = payload.columns_of_tensors(data, self._manifest, self._limits.rows)
            probabilities = wanted is None or payload.PROBABILITIES in wanted
            said = self._predictor.predict(columns, probabilities=probabilities)
            tensors = payload.tensors_of(said)
            answer: dict[str, Any] = {"model_name": self._name}
            if "id" in data:
                answer["id"] = data["id"]
            answer["outputs"] = [t for t in tensors if wanted is None or t["name"] in wanted]
            return answer

        return await self._answer(request, work)

    async def _predict_v1(self, request: Request) -> Response:
        self._check_name(request)

        def work(data: Mapping[str, Any]) -> dict[str, Any]:
            columns = payload.columns_of_instances(data, self._manifest, self._limits.rows)
            # A forest would walk all its trees twice for probabilities that nobody sees.
            said = self._predictor.predict(columns, probabilities=False)
            return {"predictions": said.values.tolist()}

        return await self._answer(request, work)

    async def _answer(
        self, request: Request, work: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> Response:
        body = await self._body(request)
        try:
            content = await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: orjson.dumps(work(payload.parse(body)))
            )
        except ValueError as error:  # the payload's own complaints, and the model's
            raise RequestError(400, str(error)) from error
        finally:
            self._held_bytes -= len(body)
        return Response(content, media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        """The body, as long as there is room for it; the caller gives its bytes back."""
        chunks, size = [], 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                self._held_bytes += len(chunk)
                chunks.append(chunk)
                self._check_room(size)
        except (RequestError, ClientDisconnect):
            self._held_bytes -= size
            raise
        return b"".join(chunks)

    def _check_room(self, size: int) -> None:
        limit = self._limits.body_bytes
        if size > limit:
            raise RequestError(413, f"the body is larger than {limit} bytes; send fewer rows")
        if self._held_bytes > IN_FLIGHT_BYTES:
            raise RequestError(503, "too many requests are waiting; try again")

    def _check_name(self, request: Request) -> None:
        given = request.path_params["model"]
        if given != self._name:
            raise RequestError(404, f"there is no model {given[:100]!r} here, only {self._name!r}")

    def _label_datatype(self) -> str:
        if self._manifest.task == "regression":
            return "FP64"
        return payload.datatype_of(np.array(self._manifest.classes))


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


async def _rejected(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RequestError) else 500
    return _json({"error": str(error)}, status)


async def _not_found(request: Request, _: Exception) -> Response:
    return _json({"error": f"there is nothing at {request.url.path[:200]}"}, 404)


async def _not_allowed(request: Request, _: Exception) -> Response:
    return _json({"error": f"{request.method} is not allowed here"}, 405)
