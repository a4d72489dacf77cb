"""What the servers are asked: two rows of two features in each format that a server takes."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAMES = ("age", "income")
JSON = "application/json"
LENGTH = "Inference-Header-Content-Length"
PREDICTED = [0, 1]
"""By every server: the heaps are far apart."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request, and the columns that are to be read in it."""

    name: str
    path: str
    body: bytes
    columns: Sequence[Sequence[float | None]] = ((1.0, 5.0), (2.0, 6.0))
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def said(document: Any) -> bytes:
    return json.dumps(document).encode()


def tensor(name: str, shape: Sequence[int], data: Any, kind: str = "FP64", **more: Any) -> Any:
    return {"name": name, "shape": shape, "datatype": kind, "data": data, **more}


ROWS = [[1.0, 2.0], [5.0, 6.0]]
FLAT = [1.0, 2.0, 5.0, 6.0]
OBJECTS = [{"age": 1.0, "income": 2.0}, {"age": 5.0, "income": 6.0}]
SINGLE = [0.5, 0.7, 5.0, 6.0]
HALVES = ((0.5, 5.0), (0.7, 6.0))
GAP = ((1.0, None), (2.0, 6.0))


def mlflow() -> tuple[Case, ...]:
    split = {"columns": ["income", "age"], "data": [[2.0, 1.0], [6.0, None]]}
    records = [{"income": 2.0, "age": 1.0}, {"income": 6.0, "age": None}]
    bodies: Mapping[str, tuple[Any, Sequence[Sequence[float | None]]]] = {
        "dataframe_split": (split, GAP),
        "dataframe_records": (records, GAP),
        "instances": (OBJECTS, ((1.0, 5.0), (2.0, 6.0))),
        "inputs": ({"age": [1.0, 5.0], "income": [2.0, 6.0]}, ((1.0, 5.0), (2.0, 6.0))),
    }
    path = "/invocations"
    json_cases = (
        Case(name, path, said({name: body}), columns) for name, (body, columns) in bodies.items()
    )
    csv = b"income,age\n2.0,1.0\n6.0,\n"
    return (*json_cases, Case("csv", path, csv, GAP, content_type="text/csv"))


def mlserver() -> tuple[Case, ...]:
    path = "/v2/models/m/infer"
    pandas = [tensor("age", [2, 1], [1.0, 5.0]), tensor("income", [2, 1], [2.0, 6.0])]
    bodies = {
        "pd": {"parameters": {"content_type": "pd"}, "inputs": pandas},
        "np, flat": {"inputs": [tensor("x", [2, 2], FLAT, parameters={"content_type": "np"})]},
        "np, nested": {"inputs": [tensor("x", [2, 2], ROWS)]},
        "probabilities first": {
            "inputs": [tensor("x", [2, 2], ROWS)],
            "outputs": [{"name": "predict_proba"}, {"name": "predict"}],
        },
    }
    cases = [Case(name, path, said(body)) for name, body in bodies.items()]
    single = said({"inputs": [tensor("x", [2, 2], SINGLE, "FP32")]})
    return (*cases, Case("single precision", path, single, HALVES))


def kserve() -> tuple[Case, ...]:
    first, second = "/v1/models/m:predict", "/v2/models/m/infer"
    return (
        Case("V1 instances", first, said({"instances": ROWS})),
        Case("V1 inputs", first, said({"inputs": ROWS})),
        Case("V2 JSON", second, said({"inputs": [tensor("x", [2, 2], FLAT)]})),
        _binary(second, {}, "V2 binary question"),
        _binary(second, {"parameters": {"binary_data_output": True}}, "V2 binary both ways"),
    )


def _binary(path: str, more: Mapping[str, Any], name: str) -> Case:
    data = struct.pack("<4f", *SINGLE)
    parameters = {"binary_data_size": len(data)}
    told = {"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": parameters}
    head = said({"inputs": [told], **more})
    length = {LENGTH: str(len(head))}
    return Case(
        name, path, head + data, HALVES, content_type="application/octet-stream", headers=length
    )
