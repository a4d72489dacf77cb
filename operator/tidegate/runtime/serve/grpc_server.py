"""The gRPC server around one model: Open Inference Protocol v2."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from tidegate.runtime.serve.messages import SERVICE, message_types
from tidegate.runtime.serve.model import RequestError, ServedModel
from tidegate.runtime.serve.payload import PayloadError
from tidegate.runtime.serve.tensors import fill, raw_of, values_of_contents, values_of_raw

# A client's connection stays with one pod; only by being told to connect anew does it find new pods
# and a promoted revision. The calls that are on their way end on the old connection.
CONNECTION_SECONDS = 10.0  # the library makes it up to a tenth more or less
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    503: grpc.StatusCode.UNAVAILABLE,
}
Method = Callable[[bytes], Awaitable[Any]]


class GrpcServer:
    """Listens from `start` to `stop`."""

    def __init__(
        self,
        model: ServedModel,
        address: str,
        connection_seconds: float = CONNECTION_SECONDS,
    ) -> None:
        """`connection_seconds`: after which a client is told to connect anew."""
        self._model = model
        self._address = address
        self._types = message_types()
        self._options = (
            ("grpc.max_receive_message_length", model.limits.body_bytes),
            ("grpc.max_connection_age_ms", int(1000 * connection_seconds)),
            ("grpc.so_reuseport", 0),  # else a second server would take half of the connections
        )
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raise RuntimeError if the address can't be listened on."""
        methods: dict[str, Method] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        handlers = {name: self._handler(method) for name, method in methods.items()}
        self._server = grpc.aio.server(options=self._options)
        self._server.add_registered_method_handlers(SERVICE, handlers)
        self._server.add_insecure_port(self._address)
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Tell clients to go elsewhere, and let the calls that are on their way end."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(seconds)
            # Here, where a loop runs: when it is collected the library starts a task once more.
            del server
            await asyncio.sleep(0)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler:
        async def handle(body: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            try:
                answer = await method(body)
            except RequestError as error:
                await context.abort(CODES[error.status], str(error))
            return answer if isinstance(answer, bytes) else answer.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(handle)

    def _message(self, name: str, /, **fields: Any) -> Any:
        return self._types[name](**fields)

    def _parsed(self, name: str, body: bytes) -> Any:
        try:
            return self._types[name].FromString(body)
        except DecodeError as error:
            raise RequestError(400, f"the message is no {name}") from error

    async def _server_live(self, _: bytes) -> Any:
        return self._message("ServerLiveResponse", live=True)

    async def _server_ready(self, _: bytes) -> Any:
        return self._message("ServerReadyResponse", ready=not self._model.draining)

    async def _server_metadata(self, _: bytes) -> Any:
        return self._message("ServerMetadataResponse", **self._model.server_metadata())

    async def _model_ready(self, body: bytes) -> Any:
        self._check(self._parsed("ModelReadyRequest", body))
        return self._message("ModelReadyResponse", ready=True)

    async def _model_metadata(self, body: bytes) -> Any:
        self._check(self._parsed("ModelMetadataRequest", body))
        return self._message("ModelMetadataResponse", **self._model.metadata())

    async def _model_infer(self, body: bytes) -> bytes:
        self._model.hold(len(body))
        try:
            return await self._model.work(lambda: self._infer(body))
        finally:
            self._model.release(len(body))

    def _infer(self, body: bytes) -> bytes:
        request = self._parsed("ModelInferRequest", body)
        self._check(request, "model_")
        data: dict[str, Any] = {"inputs": _inputs(request)}
        if request.outputs:
            data["outputs"] = [{"name": output.name} for output in request.outputs]
        said = self._model.infer(data)
        answer = self._message("ModelInferResponse", model_name=said["model_name"], id=request.id)
        for tensor in said["outputs"]:
            datatype, values = tensor["datatype"], tensor["data"]
            output = answer.outputs.add(
                name=tensor["name"], datatype=datatype, shape=tensor["shape"]
            )
            if request.raw_input_contents:
                answer.raw_output_contents.append(raw_of(datatype, values))
            else:
                fill(output.contents, datatype, values)
        written: bytes = answer.SerializeToString()
        return written

    def _check(self, request: Any, prefix: str = "") -> None:
        self._model.check_name(getattr(request, f"{prefix}name"))
        if version := getattr(request, f"{prefix}version"):
            message = f"there is no version {version[:100]!r} here: leave {prefix}version empty"
            raise RequestError(404, message)


def _inputs(request: Any) -> list[dict[str, Any]]:
    """The tensors as the JSON of the protocol has them."""
    tensors, raw = request.inputs, request.raw_input_contents
    if raw and len(raw) != len(tensors):
        message = (
            f"{len(tensors)} inputs, but {len(raw)} raw_input_contents: one for each is needed"
        )
        raise PayloadError(message)
    if raw:
        data = [values_of_raw(t.name, t.datatype, r) for t, r in zip(tensors, raw, strict=True)]
    else:
        data = [values_of_contents(t.name, t.datatype, t.contents) for t in tensors]
    return [
        {"name": t.name, "shape": list(t.shape), "datatype": t.datatype, "data": values}
        for t, values in zip(tensors, data, strict=True)
    ]
