"""Bodies as real software made them, one character for each byte.

`python -m benchmarks payloads` asks MLflow, MLServer and KServe anew.
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
