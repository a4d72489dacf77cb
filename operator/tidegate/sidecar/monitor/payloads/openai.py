"""Chat, completions and embeddings in the style of OpenAI: numbers of an answer, never its text.

A model of language has no features and no label. What is told of an answer is one row: how many
tokens went in and out, how long the first one took, and why it ended, which is its prediction.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tidegate.sidecar.monitor.payloads.content import check_parts
from tidegate.sidecar.monitor.payloads.table import Columns, UnparsedError, from_columns

EVENTS_LIMIT = 4096  # of those that have something to tell: one for each choice, and the usage
TOKENS_LIMIT = 10**9
ENDS = frozenset(
    {"stop", "length", "tool_calls", "function_call", "content_filter", "error", "embedding"}
)
OTHER_END, NO_END, MIXED_ENDS = "other", "none", "mixed"
ROW_BYTES = 64  # about what one row of scalars keeps in memory

_STREAM = (b"data:", b"event:", b"id:", b"retry:", b":")
# In the text of an answer the quotes have backslashes before them, so that it never matches.
_TELLING = re.compile(rb'"(?:finish_reason|usage|error)"\s*:\s*["{]')


class Completion(NamedTuple):
    """What is told of an answer."""

    end: str
    tokens_in: int | None
    tokens_out: int | None
    streamed: bool

    def columns(self, names: Sequence[str], first_token_seconds: float) -> Columns:
        """The one row of the features that the profile knows."""
        found: dict[str, list[Any]] = {
            "tokens_in": [self.tokens_in],
            "tokens_out": [self.tokens_out],
            "first_token_seconds": [first_token_seconds if self.streamed else None],
        }
        return from_columns(found, names)


def is_stream(content: bytes) -> bool:
    """Whether an answer is a stream of events, and no JSON."""
    return content.startswith(_STREAM)


def from_stream(content: bytes) -> Completion:
    """Raise UnparsedError if the events are not those of a completion."""
    ends: set[str] = set()
    usage: Mapping[str, Any] = {}
    for event in _telling_events(content):
        if event.get("error"):
            ends.add("error")
        ends |= _ends(event.get("choices"))
        found = event.get("usage")
        usage = found if isinstance(found, dict) else usage
    if not ends and b'"choices"' not in content:
        raise UnparsedError("format")
    return _completion(ends - {NO_END} or {NO_END}, usage, streamed=True)


def from_document(found: Mapping[str, Any]) -> Completion | None:
    """None if it is another answer than a completion or embeddings."""
    usage = found.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    match found:
        case {"object": "chat.completion" | "text_completion", "choices": [*choices]}:
            return _completion(_ends(choices), usage, streamed=False)
        case {"object": "list", "data": [{"object": "embedding"}, *_]}:
            return _completion({"embedding"}, usage, streamed=False)
        case _:
            return None


def _telling_events(content: bytes) -> list[dict[str, Any]]:
    """The few events that say more than text; no byte is looked at twice to find them."""
    lines: list[bytes] = []
    at = 0
    while match := _TELLING.search(content, at):
        start = content.rfind(b"\n", at, match.start()) + 1 or at
        at = content.find(b"\n", match.end()) + 1 or len(content)
        lines.append(content[start:at])
        if len(lines) > EVENTS_LIMIT:
            raise UnparsedError("too_large")
    return [_event(line) for line in lines]


def _event(line: bytes) -> dict[str, Any]:
    check_parts(line)
    try:
        event = orjson.loads(line.removeprefix(b"data:"))
    except orjson.JSONDecodeError as error:
        raise UnparsedError("json") from error
    if not isinstance(event, dict):
        raise UnparsedError("format")
    return event


def _ends(choices: Any) -> set[str]:
    if not isinstance(choices, list):
        return set()
    reasons = (choice.get("finish_reason") for choice in choices if isinstance(choice, dict))
    return {_end(reason) for reason in reasons}


def _end(reason: Any) -> str:
    if reason is None:
        return NO_END
    return reason if isinstance(reason, str) and reason in ENDS else OTHER_END


def _completion(ends: set[str], usage: Mapping[str, Any], *, streamed: bool) -> Completion:
    end = MIXED_ENDS if len(ends) > 1 else next(iter(ends), NO_END)
    tokens_in, tokens_out = (_tokens(usage, k) for k in ("prompt_tokens", "completion_tokens"))
    return Completion(end, tokens_in, tokens_out, streamed)


def _tokens(usage: Mapping[str, Any], key: str) -> int | None:
    count = usage.get(key)
    return count if type(count) is int and 0 <= count <= TOKENS_LIMIT else None
