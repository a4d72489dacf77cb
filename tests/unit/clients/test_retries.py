import logging

import pytest

from tidegate.clients import retries as module
from tidegate.clients.retries import Retries

PAUSES = (0.0, 0.001, 0.002)


@pytest.fixture
def retries() -> Retries:
    return Retries(logging.getLogger("tries"), PAUSES)


async def test_the_same_words_are_said_once(
    retries: Retries, caplog: pytest.LogCaptureFixture
) -> None:
    for why in ("down", "down", "down", "full", "full"):
        await retries.pause(why)
    assert caplog.messages == [
        "down; trying again in 0 s",
        "full; trying again in 0.002 s",
    ]


async def test_the_same_words_are_said_again_after_a_while(
    retries: Retries, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAY_SECONDS", 0.0)
    for _ in range(4):
        await retries.pause("down")
    said = [message.removeprefix("down; trying again in ") for message in caplog.messages]
    assert said == ["0 s", "0.001 s", "0.002 s", "0.002 s"]


async def test_after_a_success_it_is_in_a_hurry_again(
    retries: Retries, caplog: pytest.LogCaptureFixture
) -> None:
    await retries.pause("down")
    await retries.pause("down")
    retries.over()
    await retries.pause("full", asked=0.003)
    retries.over()
    await retries.pause("lost")
    assert [m.partition("again in ")[2] for m in caplog.messages] == ["0 s", "0.003 s", "0 s"]
