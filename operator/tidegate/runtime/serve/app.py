"""The HTTP application around one model."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.runtime.serve import payload
from tidegate.runtime.serve.model import RequestError, ServedModel


class ModelApp:
    """Open Inference Protocol v2 and KServe V1, as JSON."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

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
                Route(v1, self._model_ready),
            ],
            exception_handlers={RequestError: _rejected, 404: _not_found, 405: _not_allowed},
        )

    async def _live(self, _: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, _: Request) -> Response:
        draining = self._model.draining
        return _json({"ready": not draining}, status=503 if draining else 200)

    async def _server_metadata(self, _: Request) -> Response:
        return _json(self._model.server_metadata())

    async def _model_metadata(self, request: Request) -> Response:
        self._check_name(request)
        return _json(self._model.metadata())

    async def _model_ready(self, request: Request) -> Response:
        self._check_name(request)
        return _json({"name": self._model.name, "ready": True})

    async def _infer(self, request: Request) -> Response:
        self._check_name(request)
        if "inference-header-content-length" in request.headers:
            raise RequestError(400, "binary tensors are not supported; send the data as JSON")
        return await self._answer(request, self._model.infer)

    async def _predict_v1(self, request: Request) -> Response:
        self._check_name(request)
        return await self._answer(request, self._model.predict)

    async def _answer(
        self, request: Request, work: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> Response:
        body = await self._body(request)
        try:
            content = await self._model.work(lambda: orjson.dumps(work(payload.parse(body))))
        finally:
            self._model.release(len(body))
        return Response(content, media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        """The body, as long as there is room for it; the caller gives its bytes back."""
        chunks, size = [], 0
        try:
            async for chunk in request.stream():
                self._check_size(size + len(chunk))
                self._model.hold(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
        except (RequestError, ClientDisconnect):
            self._model.release(size)
            raise
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        limit = self._model.limits.body_bytes
        if size > limit:
            raise RequestError(413, f"the body is larger than {limit} bytes; send fewer rows")

    def _check_name(self, request: Request) -> None:
        self._model.check_name(request.path_params["model"])


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


async def _rejected(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RequestError) else 500
    return _json({"error": str(error)}, status)


async def _not_found(request: Request, _: Exception) -> Response:
    return _json({"error": f"there is nothing at {request.url.path[:200]}"}, 404)


async def _not_allowed(request: Request, _: Exception) -> Response:
    return _json({"error": f"{request.method} is not allowed here"}, 405)
