"""What the commands make of the answers of a cluster."""

from typing import Any

import pytest
from tests.unit.clients.test_kube import answering

from tidegate.cli.access import Access, Where
from tidegate.clients.kubeconfig import Pointed
from tidegate.errors import TerminalError, TransientError


@pytest.mark.parametrize(
    ("status", "lease", "error", "says"),
    [
        # A replica that ends hands the lease back: for a moment nobody has it.
        (200, {"spec": {"holderIdentity": ""}}, TransientError, "no replica leads"),
        (404, {}, TerminalError, "--operator-namespace"),
    ],
)
async def test_an_operator_that_changes_its_leader_is_there(
    status: int, lease: dict[str, Any], error: type[Exception], says: str
) -> None:
    async with answering(status, lease) as how:
        access = Access(Pointed(how, "growth"), Where())
        with pytest.raises(error, match=says):
            await access.evidence("churn")
        await access.close()
