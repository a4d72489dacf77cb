"""The building blocks that every kind shares: base type, references, durations, conditions."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from typing_extensions import override


class ApiModel(BaseModel):
    """A frozen piece of an API object: camelCase outside, snake_case inside, lenient on read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",  # objects stored under another schema version must still be readable
        use_attribute_docstrings=True,
    )

    def to_api(self) -> dict[str, Any]:
        """The object as the API server stores it: camelCase, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Rule(NamedTuple):
    """A CEL rule of a schema: `message` names the field and the fix."""

    rule: str
    message: str


NAME_FITS_LABEL = Rule(
    "self.metadata.name.size() <= 63",
    "metadata.name must have at most 63 characters: it becomes the value of a label",
)


def validated(*rules: Rule) -> ConfigDict:
    """The model config that puts CEL rules beside the type they guard."""
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": [r._asdict() for r in rules]})


def longer_than_zero(name: str) -> dict[str, Any]:
    """The schema extra of a `Duration` that nothing can be done in if it is 0."""
    rule = Rule("self.matches('[1-9]')", f"{name} must be longer than 0")
    return {"x-kubernetes-validations": [rule._asdict()]}


def as_default(path: str, kind: type[ApiModel]) -> str:
    """A CEL expression: the object at `path` is as it is when nobody writes it."""
    terms = []
    for name, field in kind.model_fields.items():
        value = f"{path}.{field.alias or name}"
        match field.default:
            case None:
                terms.append(f"!has({value})")
            case bool() as default:
                terms.append(value if default else f"!{value}")
            case str() | int() as default:
                terms.append(f"{value} == {default!r}")
            case other:
                raise TypeError(
                    f"{kind.__name__}.{name} has a default that CEL can't tell: {other!r}"
                )
    return " && ".join(terms)


def list_map(key: str) -> dict[str, Any]:
    """The schema extra of a list of objects that are told apart by `key`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class ObjectKey(NamedTuple):
    """What a reconcile is told: which object to look at, and nothing else."""

    kind: str
    namespace: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Six digits and twenty characters: added to any present day, it stays within the calendar.
DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h|d))+$"
DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"

Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=20)]
"""A length of time such as `90s`, `1h30m` or `14d`."""
Decimal = Annotated[str, StringConstraints(pattern=DECIMAL_PATTERN, max_length=20)]
"""A decimal number as a string such as `"0.005"`: floats don't survive every YAML tool."""
Name = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)
]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
S3Uri = Annotated[
    str,
    StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^?#@]*$", max_length=1024),
]
Quantity = Annotated[
    str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=20)
]


def duration(text: str) -> timedelta:
    """The length of time that a `Duration` names.

    >>> duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    parts = re.findall(r"([0-9]+)(ms|s|m|h|d)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 90s, 1h30m or 14d")
    return timedelta(seconds=sum(int(n) * _UNIT_SECONDS[u] for n, u in parts))


def in_words(length: timedelta) -> str:
    """About as long, as a `Duration` of at most two units.

    >>> [in_words(timedelta(seconds=s)) for s in (42, 192, 600, 7559)]
    ['42s', '3m12s', '10m', '2h5m']
    """
    minutes, seconds = divmod(max(round(length.total_seconds()), 0), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (0 if hours else seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


class LocalRef(ApiModel):
    """The name of another object in the same namespace."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Its metadata.name."""


class Resources(ApiModel):
    """Compute resources of a container, as in a pod."""

    model_config = validated(
        Rule(
            "[self.requests, self.limits].all(m, m.all(k, k in ['cpu', 'memory', "
            "'ephemeral-storage'] || k.startsWith('hugepages-') || k.contains('/')))",
            "resources are cpu, memory, ephemeral-storage, or of a vendor, such as nvidia.com/gpu",
        ),
        Rule(
            "self.requests.all(k, !(k in self.limits) || "
            "quantity(self.requests[k]).compareTo(quantity(self.limits[k])) <= 0)",
            "resources.requests must not be larger than resources.limits",
        ),
    )

    requests: Annotated[dict[str, Quantity], Field(max_length=8)] = {}
    """What the node must have free, such as `{cpu: 500m, memory: 512Mi}`."""
    limits: Annotated[dict[str, Quantity], Field(max_length=8)] = {}
    """What the container may use at the most."""


class Condition(ApiModel):
    """One aspect of an object's state; `True` is good for every type."""

    type: Annotated[str, StringConstraints(max_length=63)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, StringConstraints(max_length=63)]
    message: Annotated[str, StringConstraints(max_length=1024)] = ""
    observed_generation: int = 0
    last_transition_time: str = ""


def timestamp(at: datetime) -> str:
    """A time as the API writes it: UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    """The time that an API timestamp names."""
    return datetime.fromisoformat(text)


def merge_conditions(
    old: Iterable[Condition], new: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """`new`, where each transition time moves only when the status of that type does."""
    before = {c.type: c for c in old}

    def dated(c: Condition) -> Condition:
        was = before.get(c.type)
        moved = was is None or was.status != c.status or not was.last_transition_time
        since = timestamp(now) if moved or was is None else was.last_transition_time
        return c.model_copy(update={"last_transition_time": since, "message": c.message[:1024]})

    return tuple(dated(c) for c in new)


class OwnerReference(ApiModel):
    """Who owns an object."""

    api_version: str = ""
    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(ApiModel):
    """The metadata that Tidegate reads of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()

    def owner(self) -> OwnerReference | None:
        """The controller that owns this object, if any."""
        return next((o for o in self.owner_references if o.controller), None)
