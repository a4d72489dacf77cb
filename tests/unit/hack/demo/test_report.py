from pathlib import Path

import pytest
from hack.demo import report
from hack.demo.snapshot import Seconds, Snapshot


@pytest.mark.parametrize("seconds", [0, 1, 3, 20])
def test_a_story_that_ended_early_has_a_report_that_says_so(tmp_path: Path, seconds: int) -> None:
    counted = (9,) * seconds
    clients = Seconds(tuple(range(100, 100 + seconds)), counted, counted, (0,) * seconds)
    history = [Snapshot(at=100.0 + i) for i in range(seconds)]
    history.append(Snapshot(at=100.0 + seconds, clients=clients))
    page = tmp_path / "report.html"
    report.write(page, history, (), {}, "act 1: v1 was not trained within 2 s")
    text = page.read_text()
    assert "Not as told: act 1: v1 was not trained within 2 s" in text
    assert text.count("<svg") == 4
    assert f"{9 * seconds} requests were answered, 0 failed." in text
