"""From a pydantic type to the structural schema of a CRD, or a refusal that names the path."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT = {
    "description",
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "type",
}
_DROPPED = {"$defs", "examples", "title"}
_OPEN = "x-kubernetes-preserve-unknown-fields"


class NotStructuralError(Exception):
    """A type says something that a structural schema can't; `path` is where."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or '.'}: {problem}")
        self.path = path


def structural(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The structural schema of a type; `defaults=False` where nothing may be filled in (status)."""
    raw = model.model_json_schema(by_alias=True)
    return _Converter(raw.get("$defs", {})).convert(raw, "", defaults=defaults)


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._open: list[str] = []  # the types we are inside of: one that comes again is a cycle

    def convert(self, raw: Schema, path: str, *, defaults: bool) -> Schema:
        """Convert one node; below a list no default is kept (GitOps tools would show a drift)."""
        raw = _without_null(raw, path)
        if "$ref" in raw:
            return self._referenced(raw, path, defaults=defaults)
        out: Schema = {}
        for key, value in raw.items():
            match key:
                case "$ref" | "default":
                    pass
                case "const":
                    out["enum"] = [value]
                case "exclusiveMinimum" | "exclusiveMaximum":
                    out[key.removeprefix("exclusive").lower()] = value
                    out[key] = True
                case "properties":
                    if value:
                        out[key] = {
                            name: self.convert(child, f"{path}.{name}", defaults=defaults)
                            for name, child in value.items()
                        }
                case "required":
                    out[key] = list(value)
                case "items":
                    out[key] = self.convert(value, f"{path}[]", defaults=False)
                case "additionalProperties":
                    self._put_values(out, raw, path)
                case _ if key in _KEPT or key.startswith("x-kubernetes-"):
                    out[key] = value
                case _ if key in _DROPPED:
                    pass
                case _:
                    raise NotStructuralError(path, f"{key} has no place in a structural schema")
        _check_type(out, path)
        _put_default(out, raw, defaults=defaults)
        return out

    def _referenced(self, raw: Schema, path: str, *, defaults: bool) -> Schema:
        name = raw["$ref"].rpartition("/")[2]
        if name in self._open:
            raise NotStructuralError(path, f"{name} contains itself: a cycle can't be written out")
        self._open.append(name)
        out = self.convert(self._definitions[name], path, defaults=defaults)
        self._open.pop()
        if "description" in raw:
            out["description"] = raw["description"]
        _put_default(out, raw, defaults=defaults)
        return out

    def _put_values(self, out: Schema, raw: Schema, path: str) -> None:
        values = raw["additionalProperties"]
        if raw.get("properties") and values:
            raise NotStructuralError(path, "properties and additionalProperties exclude each other")
        if values is True:
            if not raw.get(_OPEN):
                raise NotStructuralError(path, f"values of any type need {_OPEN}")
        elif values is not False:  # the server prunes unknown fields; `false` itself is not allowed
            out["additionalProperties"] = self.convert(values, f"{path}{{}}", defaults=False)


def _without_null(raw: Schema, path: str) -> Schema:
    """`T | None` means "may be absent", which is what every field not in `required` is."""
    if "anyOf" not in raw:
        return raw
    choices: list[Schema] = [choice for choice in raw["anyOf"] if choice != {"type": "null"}]
    if len(choices) != 1 or len(raw["anyOf"]) != 2:
        raise NotStructuralError(path, "a union; use one optional field for each choice")
    return choices[0] | {k: v for k, v in raw.items() if k != "anyOf"}


def _check_type(out: Schema, path: str) -> None:
    if out.get("type") == "number":
        raise NotStructuralError(path, "a float; use a decimal string with a pattern")
    if out.get("type") == "array" and "items" not in out:
        raise NotStructuralError(path, "a list needs the type of its items")
    if "type" not in out and not out.get(_OPEN):
        raise NotStructuralError(path, f"any type; name one, or set {_OPEN}")


def _put_default(out: Schema, raw: Schema, *, defaults: bool) -> None:
    default = raw.get("default")
    if default is None:
        return
    if defaults:
        # Written out in full: the server runs CEL rules on a default before it fills in the parts'.
        out["default"] = _without_nulls(default)
    elif default not in ("", 0, False, [], {}) and "description" in out:
        # Not in the schema, so it is told in words; the operator fills it in when it reads.
        out["description"] += f" Default: {json.dumps(default)}."


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value
