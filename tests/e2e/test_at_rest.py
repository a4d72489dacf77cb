"""An operator with nothing to do asks the API server for nothing: counted by the server."""

import time
from collections import Counter

from tests.e2e.objects import ERRORS, canary, model
from tests.e2e.operator import Operator, Request
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import served
from tests.integration.apiserver import Manifest

QUIET_SECONDS = 30
SETTLED_SECONDS = 5  # without a write, before the count begins
LEASE = {("get", "leases"), ("update", "leases")}


def test_a_settled_model_costs_no_requests(
    operator: Operator, delivery: Place, artifacts: dict[str, Manifest]
) -> None:
    settings = canary({"setWeight": 50}, {"analysis": {}}, metrics=(ERRORS,))
    with served(delivery, model("quiet", artifacts["tree"], settings)):
        eventually(lambda: _is_settled(operator), "an operator that has done all")
        since = operator.audit.stat().st_size
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + QUIET_SECONDS, "the count", 2 * QUIET_SECONDS)
        asked = list(operator.requests(since))

    assert any(_what(r) == ("update", "leases") for r in asked), "the Lease is renewed"
    rest = [r for r in asked if _what(r) not in LEASE and r.verb != "watch"]
    # The sweep may fall into this time: it lists each kind once, and does nothing else.
    assert {r.verb for r in rest} <= {"list"}
    assert all(n == 1 for n in Counter((r.resource, r.namespace) for r in rest).values()), rest


def _what(request: Request) -> tuple[str, str]:
    return request.verb, request.resource


def _is_settled(operator: Operator) -> bool:
    """Whether nothing but the Lease was written for a while."""
    since = operator.audit.stat().st_size
    deadline = time.monotonic() + SETTLED_SECONDS
    eventually(lambda: time.monotonic() > deadline, "a while", 2 * SETTLED_SECONDS)
    return all(_what(r) in LEASE or r.verb == "watch" for r in operator.requests(since))
