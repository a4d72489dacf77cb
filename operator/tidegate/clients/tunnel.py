"""A GET through the API server to a port on a pod's own loopback, as `kubectl port-forward` does.

The stream is the WebSocket protocol of the Kubernetes API: each message begins with the number of
its channel, data (0) or errors (1), and the first one of a channel repeats the port.
"""

import gzip
import http.client
import io
import ssl
import zlib

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from typing_extensions import override

from tidegate.clients.kube import Credentials
from tidegate.clients.resources import PODS
from tidegate.errors import TerminalError, TransientError, said

PROTOCOL = "v4.channel.k8s.io"
TIMEOUT = aiohttp.ClientTimeout(total=120, connect=10)
MAX_ANSWER_BYTES = 256 * 1024 * 1024
DATA, ERROR = 0, 1


async def get(
    how: Configuration, namespace: str, pod: str, port: int, path: str
) -> tuple[int, bytes]:
    """The answer's status and body.

    TerminalError(Forbidden) if the user may not forward ports of the pod.
    """
    reach = Credentials.of(how)
    where = PODS.path(namespace, pod, "portforward")
    headers = {"Authorization": f"Bearer {reach.token}"} if reach.token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.ws_connect(
                f"{reach.server}{where}?ports={port}",
                protocols=(PROTOCOL,),
                headers=headers,
                ssl=_tls(reach),
                max_msg_size=0,
            ) as stream,
        ):
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            request += "Accept-Encoding: gzip\r\n"
            await stream.send_bytes(bytes([DATA]) + f"{request}\r\n".encode())
            return _parsed(await _received(stream, where), where)
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            message = f"{where}: {error.status}; get and create on pods/portforward are needed"
            raise TerminalError("Forbidden", message) from error
        raise TransientError(f"{where}: {error.status} {error.message}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransientError(f"{where}: {said(error)}") from error


def _tls(reach: Credentials) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=reach.ca_path)
    if reach.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if reach.certificate_path:
        context.load_cert_chain(reach.certificate_path, reach.private_key_path)
    return context


async def _received(stream: aiohttp.ClientWebSocketResponse, where: str) -> bytes:
    """Everything that the pod sends until it closes the connection."""
    content, opened = bytearray(), set()
    async for message in stream:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel not in opened:
            opened.add(channel)  # this one only repeats the port
            data = data[2:]
        if channel == ERROR and data:
            raise TransientError(f"{where}: {data.decode(errors='replace').strip()}")
        content += data
        if len(content) > MAX_ANSWER_BYTES:
            raise TerminalError("InvalidAnswer", f"{where}: more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


class _Bytes(io.BytesIO):
    """Bytes that the parser of the standard library takes for a socket."""

    def makefile(self, _mode: str) -> "_Bytes":
        return self

    @override
    def close(self) -> None:
        pass  # the parser closes its file early


def _parsed(raw: bytes, where: str) -> tuple[int, bytes]:
    answer = http.client.HTTPResponse(_Bytes(raw))  # type: ignore[arg-type]  # see _Bytes
    try:
        answer.begin()
        body = answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
    except (http.client.HTTPException, EOFError, zlib.error) as error:
        raise TransientError(f"{where}: the answer broke off: {said(error)}") from error
    return answer.status, body
