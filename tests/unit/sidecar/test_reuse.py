"""When a connection to the model serves another request."""

import pytest
from tests.unit.sidecar.conftest import Connect
from tests.unit.sidecar.front import fronted
from tests.unit.sidecar.harness import post
from tests.unit.sidecar.upstream import upstream

from tidegate.sidecar.proxy import client as client_module
from tidegate.sidecar.proxy import upstream as upstream_module

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("pause", "connections"),
    [pytest.param(0.9, 1, id="soon"), pytest.param(1.1, 2, id="late")],
)
async def test_a_connection_that_the_model_may_be_about_to_close_is_not_used_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, pause: float, connections: int
) -> None:
    now = 1000.0
    for module in (client_module, upstream_module):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    async with upstream() as model, fronted(model.port) as front:
        connection = await connect(front.port)
        assert (await connection.ask(post(b"{}"))).status == 200
        now += pause
        assert (await connection.ask(post(b"{}"))).status == 200
        assert model.connections == connections
