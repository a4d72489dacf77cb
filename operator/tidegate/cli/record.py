"""`record`: keep the windows of a Model beyond the hour for which the operator knows them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

from tidegate.cli.access import Access
from tidegate.cli.answer import Answer
from tidegate.cli.recordings import save
from tidegate.cli.words import span
from tidegate.errors import TerminalError, TransientError
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import SLOT_SECONDS
from tidegate.rollout.words import count


async def record(access: Access, name: str, *, out: str) -> Answer:
    """Write all that the operator knows of a Model as one part."""
    part = await _pulled(access, name, after=0)
    if part.slots is None:
        message = f"no pod of {name} has reported yet: there is nothing to record"
        raise TerminalError("NotFound", message)
    where = await asyncio.to_thread(save, part, out)
    data = {"file": where, "slots": list(part.slots), "requests": _requests(part)}
    return Answer(data, _told(part, where))


async def follow(
    access: Access, name: str, *, out: str, every: timedelta, tell: Callable[[str], None]
) -> NoReturn:
    """Write what is new again and again, until the process is ended."""
    after = 0
    while True:
        try:
            part = await _pulled(access, name, after=after)
            if part.slots is not None:
                tell(_told(part, await asyncio.to_thread(save, part, out)))
                after = part.closed_through or after
        except TransientError as error:
            tell(f"will try again in {span(every)}: {error}")
        await asyncio.sleep(every.total_seconds())


async def _pulled(access: Access, name: str, *, after: int) -> Recording:
    model = await access.model(name)
    # The state of the tests is for the operator alone, and larger than all the rest.
    rollout = model.status.rollout and model.status.rollout.model_copy(update={"cursor": ""})
    status = model.status.model_copy(update={"rollout": rollout})
    part = await access.evidence(name, after=after)
    return replace(part, snapshots=(model.model_copy(update={"status": status}),))


def _requests(part: Recording) -> int:
    return sum(c.requests for c in part.windows.values())


def _told(part: Recording, where: str) -> str:
    first, last = part.slots or (0, 0)
    length = timedelta(seconds=(last + 1 - first) * SLOT_SECONDS)
    labels = sum(n.labelled for n in part.labels.values())
    return (
        f"{where}: {span(length)} of windows, {count(_requests(part))} requests, "
        f"{count(labels)} labels"
    )
