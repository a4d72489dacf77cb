"""Bodies as real software made them: MLServer 1.7.1, MLflow 3.17, KServe 0.21, tritonclient 2.73.

The bytes stand in the file as one character each.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.sidecar.monitor.payloads import decode
from tidegate.sidecar.records import Kind, Record

RECORDED = json.loads(Path(__file__).with_name("recorded_payloads.json").read_text())


@pytest.mark.parametrize("case", [pytest.param(v, id=k) for k, v in RECORDED.items()])
def test_real_bodies_are_read(case: dict[str, Any]) -> None:
    question, answer = (case[side].encode("latin-1") for side in ("request", "response"))
    record = Record(Kind.ANSWERED, 0, 200, request=question, response=answer)
    columns, predicted, *_ = decode(record, case["names"])
    assert list(map(list, columns)) == case["columns"]
    assert predicted == case["predicted"]
