"""What of a row may be written down: nothing that training has not seen, unless it is a number."""

import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from tidegate.evidence.encode import label_text
from tidegate.evidence.profile import Category, Number, Profile
from tidegate.sidecar.monitor.payloads.table import Columns
from tidegate.sidecar.settings import LogSettings

TEXT_LIMIT = 128  # characters of a prediction or an id; what is longer is a document, not a label
PSEUDONYM_DIGITS = 16

Cleaner = Callable[[Sequence[Any]], list[Any]]

logger = logging.getLogger(__name__)


class Redaction:
    """Turns decoded columns into the features of lines; None where they must not be written."""

    def __init__(self, profile: Profile | None, settings: LogSettings) -> None:
        features = profile.features if profile else ()
        unknown = (settings.redact | settings.hashed) - {f.name for f in features}
        if unknown:
            # A misspelt name would leave the field that is meant unprotected.
            logger.warning(
                "no features are logged: the reference profile does not know %s, "
                "which spec.serving.sidecar.log names",
                ", ".join(sorted(unknown)),
            )
            features = ()
        cleaners = ((place, f.name, _cleaner(f, settings)) for place, f in enumerate(features))
        kept = [(place, name, clean) for place, name, clean in cleaners if clean is not None]
        self._names = [name for _, name, _ in kept]
        self._cleaners = [(place, clean) for place, _, clean in kept]
        self._numeric = [place for place, clean in self._cleaners if clean is _numbers]
        self._others = [(n, *c) for n, c in enumerate(self._cleaners) if c[1] is not _numbers]

    def rows(self, columns: Columns, count: int) -> list[dict[str, Any] | None]:
        """The features of each of `count` rows."""
        if not self._cleaners or not columns:
            return [None] * count
        cleaned: list[Sequence[Any]]
        numbers = chain.from_iterable([columns[place] for place in self._numeric])
        if _PLAIN.issuperset(map(type, numbers)):  # nearly always, and four times as fast
            cleaned = [columns[place] for place, _ in self._cleaners]
            for index, place, clean in self._others:
                cleaned[index] = clean(columns[place])
        else:
            cleaned = [clean(columns[place]) for place, clean in self._cleaners]
        return [dict(zip(self._names, row, strict=True)) for row in zip(*cleaned, strict=True)]


def _cleaner(feature: Number | Category, settings: LogSettings) -> Cleaner | None:
    """How the values of a feature are written; None if they are left out."""
    if feature.name in settings.redact:
        return None
    if feature.name in settings.hashed:
        if settings.salt:
            return _Pseudonyms(feature.name, settings.salt)
        logger.warning(
            "%s is left out of the log: the Secret has no %s to hash it with",
            feature.name,
            LogSettings.SALT_VARIABLE,
        )
        return None
    if isinstance(feature, Number):
        return _numbers
    return _Known(frozenset(feature.levels) | frozenset(feature.rare))


def _numbers(values: Sequence[Any]) -> list[Any]:
    return [v if type(v) in _PLAIN else _number(v) for v in values]


_PLAIN = frozenset({int, float, type(None)})


def _number(value: Any) -> float | None:
    """What the model makes of it, too; a text that is no number may be anything."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


class _Known:
    """The levels that training saw, as text. Another text may be a name or an address."""

    def __init__(self, levels: frozenset[str]) -> None:
        self._levels = levels

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        texts = map(_text, values)
        return [text if text in self._levels else None for text in texts]


class _Pseudonyms:
    """Equal values have equal pseudonyms; without the salt none can be told from its value."""

    def __init__(self, name: str, salt: bytes) -> None:
        self._key = hashlib.sha256(b"%b\0%b" % (salt, name.encode())).digest()

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        return [None if text is None else self._pseudonym(text) for text in map(_text, values)]

    def _pseudonym(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(errors="surrogatepass"), "sha256")
        return digest.hex()[:PSEUDONYM_DIGITS]


def _text(value: Any) -> str | None:
    try:
        return label_text(value)
    except TypeError:
        return None


def prediction(value: Any) -> Any:
    """A prediction as it is written; a long text is no label."""
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        return None
    return value
