"""Chat, completions and embeddings: what is told of them, and that no text of theirs is kept."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.sidecar.harness import STABLE, Connection, eventually, post, sidecar
from tests.unit.sidecar.upstream import Asked, response, upstream

from tidegate.sidecar.monitor.payloads import Decoded, UnparsedError, decode
from tidegate.sidecar.monitor.payloads.openai import EVENTS_LIMIT
from tidegate.sidecar.records import Kind, Record

NAMES = ("tokens_out", "first_token_seconds", "tokens_in", "temperature")
SECRET = 'He said "finish_reason": "length", "usage": {"prompt_tokens": 7}, "error": "x"'
USAGE = {"prompt_tokens": 11, "completion_tokens": 42, "total_tokens": 53}


def read(answer: bytes, names: tuple[str, ...] = NAMES) -> Decoded:
    record = Record(Kind.ANSWERED, 0, 200, latency=0.25, request=b"not read", response=answer)
    return decode(record, names)


def chat(*reasons: str | None, usage: Any = USAGE) -> bytes:
    choices = [
        {"index": n, "message": {"role": "assistant", "content": SECRET}, "finish_reason": reason}
        for n, reason in enumerate(reasons)
    ]
    return json.dumps(
        {"id": "chatcmpl-1", "object": "chat.completion", "choices": choices, "usage": usage}
    ).encode()


def chunk(content: str | None = None, reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]} | more
    return b"data: %b\n\n" % json.dumps(event).encode()


def stream(*middle: bytes) -> bytes:
    return b"".join([chunk(""), *middle, b"data: [DONE]\n\n"])


def test_of_a_chat_only_numbers_are_told() -> None:
    decoded = read(chat("stop"))
    assert decoded.columns == [[42], [None], [11], [None]]
    assert decoded.predicted == ["stop"]
    assert SECRET not in repr(decoded)


def test_of_a_stream_too() -> None:
    answer = stream(chunk(SECRET), chunk(reason="length"), chunk(choices=[], usage=USAGE))
    decoded = read(answer)
    assert decoded.columns == [[42], [0.25], [11], [None]]
    assert decoded.predicted == ["length"]


def test_a_stream_without_usage_has_no_tokens() -> None:
    decoded = read(stream(chunk("a", usage=None), chunk(reason="stop", usage=None)))
    assert decoded.columns == [[None], [0.25], [None], [None]]


def test_without_a_profile_only_the_end_is_told() -> None:
    assert read(chat("stop"), ()).columns == []


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        pytest.param(chat("tool_calls"), "tool_calls", id="tools"),
        pytest.param(chat("stop", "stop"), "stop", id="choices"),
        pytest.param(chat("stop", "length"), "mixed", id="different choices"),
        pytest.param(chat(None), "none", id="no reason"),
        pytest.param(chat("eos_token"), "other", id="a reason of its own"),
        pytest.param(stream(chunk("a")), "none", id="a stream that just stops"),
        pytest.param(
            stream(b'data: {"error": {"message": "out of memory"}}\n\n'), "error", id="error"
        ),
        pytest.param(
            b": ping\n\nevent: message\n" + stream(chunk(reason="stop")), "stop", id="comments"
        ),
        pytest.param(stream(chunk(reason="stop")).replace(b"\n", b"\r\n"), "stop", id="CRLF"),
        pytest.param(
            b'{"object": "text_completion", "choices": [{"text": "x", "finish_reason": "stop"}]}',
            "stop",
            id="completion",
        ),
        pytest.param(
            b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],'
            b'"usage":{"prompt_tokens":3,"total_tokens":3}}',
            "embedding",
            id="embedding",
        ),
    ],
)
def test_why_it_ended(answer: bytes, end: str) -> None:
    assert read(answer, ()).predicted == [end]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b'data: {"temperature": 20}\n\n', "format", id="other events"),
        pytest.param(b'data: {"finish_reason": "stop"\n\n', "json", id="no JSON"),
        pytest.param(chunk(reason="stop") * (EVENTS_LIMIT + 1), "too_large", id="many"),
        pytest.param(b'{"object": "list", "data": []}', "predictions", id="another list"),
        pytest.param(b"data:" + b'"usage":{' * 20_000, "json", id="one endless line"),
        pytest.param(
            b'data:{"usage":{"a":[' + b"[]," * 300_000 + b"0]}}", "too_large", id="many lists"
        ),
    ],
)
def test_what_it_is_not(answer: bytes, reason: str) -> None:
    with pytest.raises(UnparsedError, match=reason):
        read(answer)


def test_a_profile_of_other_features_fits_no_completion() -> None:
    with pytest.raises(UnparsedError, match="feature_names"):
        read(chat("stop"), ("age",))


EVENTS = st.lists(
    st.binary(max_size=20)
    | st.sampled_from(
        [b"data:", b"\n\n", b'{"usage":{', b'"finish_reason":"x"', b'"choices":[', b"]}"]
    )
).map(b"".join)


@given(EVENTS)
def test_any_stream_is_one_row_or_a_reason(events: bytes) -> None:
    try:
        decoded = read(b"data:" + events)
    except UnparsedError:
        return
    assert [len(column) for column in decoded.columns] == [1] * len(NAMES)


async def model_answer(asked: Asked) -> bytes:
    """Says its head at once and its first token after a while, as such servers do."""
    if asked.path == "/v1/embeddings":
        return response(b'{"object":"list","data":[{"object":"embedding","embedding":[1]}]}')
    asked.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.sleep(0.15)
    events = stream(chunk("Hi"), chunk(reason="stop"), chunk(choices=[], usage=USAGE))
    for event in events.split(b"\n\n")[:-1]:
        asked.writer.write(b"%x\r\n%b\n\n\r\n" % (len(event) + 2, event))
        await asked.writer.drain()
    return b"0\r\n\r\n"


async def test_a_stream_through_the_sidecar(tmp_path: Path) -> None:
    async with upstream(model_answer) as model, sidecar(tmp_path, model.port) as pod:
        await pod.monitor_up()
        connection = await Connection.open(pod.port)
        for _ in range(3):
            reply = await connection.ask(post({"stream": True}, "/v1/chat/completions"))
            assert b'"Hi"' in reply.body
        await connection.ask(post({"input": "x"}, "/v1/embeddings"))
        await connection.close()

        async def counted() -> bool:
            return (await pod.scrape())["tidegate_rows_total"] == 4

        await eventually(counted)
        numbers = await pod.scrape()
        revision = f'revision="{STABLE}"'
        assert numbers[f'tidegate_tokens_total{{direction="in",{revision}}}'] == 33
        assert numbers[f'tidegate_tokens_total{{direction="out",{revision}}}'] == 126
        assert numbers[f'tidegate_completions_total{{finish_reason="stop",{revision}}}'] == 3
        assert numbers[f"tidegate_first_token_seconds_count{{{revision}}}"] == 3
        assert numbers[f"tidegate_first_token_seconds_sum{{{revision}}}"] >= 3 * 0.15
