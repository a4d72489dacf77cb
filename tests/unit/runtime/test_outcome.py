import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtime.outcome import TERMINATION_BYTES, failure, report, success

DIGEST = f"sha256:{'f' * 64}"


@given(st.text(max_size=3000), st.text(max_size=300))
def test_a_failure_fits_the_termination_log(message: str, name: str) -> None:
    field = f"spec.trainer.sklearn.parameters.{name[:60]}"
    line = failure("train", "ParameterInvalid", message, field=field)
    assert len(json.dumps(line, ensure_ascii=False).encode()) <= TERMINATION_BYTES


def test_the_longest_success_fits_the_termination_log() -> None:
    metrics = {f"metric_{i:02}": 0.123456789012345678 for i in range(10)}
    line = success(
        "publish",
        {
            "uri": f"s3://bucket/{'x' * 1024}/",
            "digest": DIGEST,
            "profile": DIGEST,
            "format": "Skops",
            "metrics": metrics,
            "inputs": {"train": DIGEST, "test": DIGEST},
            "seed": 4294967295,
            "packages": DIGEST,
        },
    )
    assert len(json.dumps(line).encode()) <= TERMINATION_BYTES


@given(st.lists(st.text(max_size=500), max_size=60))
def test_warnings_fit_the_termination_log(warnings: list[str]) -> None:
    line = success("validate", {"rows": 10**12, "warnings": warnings})
    assert len(json.dumps(line, ensure_ascii=False).encode()) <= TERMINATION_BYTES


def test_the_line_is_left_for_the_kubelet_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    report(failure("fetch", "InputNotFound", "gone", field="spec.data"), log)
    want = {
        "stage": "fetch",
        "ok": False,
        "reason": "InputNotFound",
        "field": "spec.data",
        "message": "gone",
    }
    assert json.loads(log.read_text()) == want
    assert json.loads(capsys.readouterr().out) == want


def test_a_log_that_can_not_be_written_does_not_hide_the_outcome(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(success("train", {}), tmp_path / "absent/log")
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[0]) == {"stage": "train", "ok": True}
    assert "can't be written" in printed[1]
