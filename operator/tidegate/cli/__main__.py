"""`kubectl tidegate`: the entry point. Run as `kubectl-tidegate` or `python -m tidegate.cli`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from tidegate.cli.access import Access, Where, connected
from tidegate.cli.answer import DONE, MISTAKE, UNREACHABLE, Answer, rendered
from tidegate.cli.arguments import parser
from tidegate.cli.comparison import compared
from tidegate.cli.decision_log import decisions, why_logged
from tidegate.cli.plan import planned
from tidegate.cli.question import question
from tidegate.cli.record import follow, record
from tidegate.cli.recordings import load_one
from tidegate.cli.replay import replayed
from tidegate.cli.status import status
from tidegate.cli.why import why
from tidegate.errors import TerminalError, TransientError


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one question; the exit code."""
    asked = parser().parse_args(argv)
    try:
        answer = asyncio.run(_answer(asked))
    except TerminalError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE
    except TransientError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNREACHABLE
    except KeyboardInterrupt:
        return DONE  # how a recorder is ended
    print(rendered(answer, asked.output))
    return answer.code


async def _answer(asked: argparse.Namespace) -> Answer:
    """Connect, where the question needs it."""
    if asked.command == "backtest":
        return compared(asked.files, asked.windows, asked.model, asked.plot)
    if asked.command == "replay":
        recording = load_one(asked.windows, asked.namespace, asked.model)
        logged = decisions(asked.log, asked.namespace, asked.model) if asked.log else None
        return replayed(recording, asked.decision, logged)
    if asked.command == "why" and asked.log:
        return why_logged(asked.log, asked.namespace, asked.model, last=asked.last)
    if asked.command == "plan" and asked.file and asked.requests_per_second:
        return planned(await question(asked, None))
    where = Where(asked.kubeconfig, asked.context, asked.namespace, asked.operator_namespace)
    async with connected(where) as access:
        return await _ask(asked, access)


async def _ask(asked: argparse.Namespace, access: Access) -> Answer:
    match asked.command:
        case "status":
            return await status(access, everywhere=asked.all_namespaces)
        case "why":
            return await why(access, asked.model, last=asked.last)
        case "plan":
            return planned(await question(asked, access))
        case "record" if asked.every is None:
            return await record(access, asked.model, out=asked.out)
        case _:
            return await follow(access, asked.model, out=asked.out, every=asked.every, tell=_tell)


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
