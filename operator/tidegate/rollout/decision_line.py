"""A decision as a line of the decision log: what `why` and `replay` need when its Model is gone."""

from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any, NamedTuple

import orjson

from tidegate.api.meta import ObjectMeta, parse_timestamp
from tidegate.api.v1alpha1.model_status import DecisionStatus


class Logged(NamedTuple):
    """A decision, and the Model that it was about."""

    namespace: str
    model: str
    decision: DecisionStatus


def key_of(about: ObjectMeta, decision: DecisionStatus) -> str:
    """Where the line lies: the same place whoever writes it, and however often."""
    at = parse_timestamp(decision.at).astimezone(UTC)
    folder = f"namespace={about.namespace}/model={about.name}/date={at:%Y-%m-%d}"
    # The uid tells apart Models of one name, the time decisions of one number: numbers begin anew
    # when a status was lost.
    return f"{folder}/{at:%Y%m%dT%H%M%SZ}-{decision.id}-{about.uid}.jsonl"


def line_of(about: ObjectMeta, decision: DecisionStatus) -> bytes:
    """The line, with the end of line."""
    whose = {"namespace": about.namespace, "model": about.name, "uid": about.uid}
    return orjson.dumps({**whose, **decision.to_api()}, option=orjson.OPT_APPEND_NEWLINE)


def parsed(lines: Iterable[str]) -> Iterator[Logged]:
    """Raise ValueError at a line that is no decision."""
    for line in lines:
        try:
            data: dict[str, Any] = orjson.loads(line)
            namespace, model = str(data.pop("namespace")), str(data.pop("model"))
            yield Logged(namespace, model, DecisionStatus.model_validate(data))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no line of a decision log: {line:.80}") from error
