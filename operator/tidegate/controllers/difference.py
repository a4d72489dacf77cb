"""Whether a live object already is what we want it to be."""

import re
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_FACTOR = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


def contains(live: Any, intent: Any) -> bool:
    """Whether everything in `intent` is in `live`, which may hold more (the server's defaults).

    >>> contains({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m"})
    True
    >>> contains({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]})
    True
    >>> contains({"a": [1, 2]}, {"a": [1]})
    False
    """
    match intent:
        case dict():
            return isinstance(live, dict) and all(
                contains(live.get(key), value) for key, value in intent.items()
            )
        case list() | tuple():
            return (
                isinstance(live, list)
                and len(live) == len(intent)
                and all(map(contains, live, intent))
            )
        case str() if isinstance(live, str):
            return live == intent or (_value(live) is not None and _value(live) == _value(intent))
        case None:
            return live is None
        case _:
            return bool(live == intent) and isinstance(live, bool) == isinstance(intent, bool)


def _value(text: str) -> Decimal | None:
    """The number that a quantity stands for; the server writes `1000m` as `1`."""
    found = _QUANTITY.fullmatch(text)
    return Decimal(found[1]) * _FACTOR[found[2]] if found else None
