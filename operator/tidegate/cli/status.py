"""`status`: all Models at a glance."""

from collections.abc import Iterator, Sequence

from tidegate.api.v1alpha1.model import Model
from tidegate.cli.access import Access
from tidegate.cli.answer import Answer, table

HEAD = ("NAME", "READY", "STABLE", "CANDIDATE", "WEIGHT", "STEP", "VERDICT", "DRIFT")
WIDE = (*HEAD, "REASON", "MESSAGE")


async def status(access: Access, *, everywhere: bool) -> Answer:
    """A line for each Model."""
    models = await access.models(everywhere=everywhere)
    if not models:
        space = "the cluster" if everywhere else f"namespace {access.namespace}"
        return Answer([], f"There are no Models in {space}.")
    first = ("NAMESPACE",) if everywhere else ()
    rows = [((m.metadata.namespace,) if everywhere else (), *_rows(m)) for m in models]
    return Answer(
        [
            {"namespace": m.metadata.namespace, "name": m.metadata.name, **m.status.to_api()}
            for m in models
        ],
        table((*first, *HEAD), [(*space, *row) for space, row, _ in rows]),
        table((*first, *WIDE), [(*space, *row, *more) for space, row, more in rows]),
    )


def _rows(model: Model) -> Iterator[Sequence[str]]:
    seen = model.status
    ready = seen.condition("Ready")
    rollout = seen.rollout if seen.candidate else None
    yield (
        model.metadata.name,
        ready.status if ready else "Unknown",
        seen.stable.revision if seen.stable else "",
        seen.candidate.revision if seen.candidate else "",
        str(rollout.weight) if rollout else "",
        rollout.step.text if rollout else "",
        rollout.verdict if rollout else "",
        seen.drift.level if seen.drift else "",
    )
    yield (
        ready.reason if ready else "",
        rollout.message if rollout else ready.message if ready else "",
    )
