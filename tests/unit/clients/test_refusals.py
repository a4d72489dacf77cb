import json

import pytest

from tidegate.clients.refusals import MESSAGE_LIMIT, not_installed, sentence
from tidegate.clients.resources import CUSTOM, JOBS, MODELS, Resource

RIGHT = 'jobs.batch is forbidden: User "u" cannot list resource "jobs" in API group "batch"'
QUOTA = 'pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: 2'


def status(message: str) -> str:
    return json.dumps({"kind": "Status", "message": message})


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        pytest.param(409, status("try again"), "409 try again", id="the server's words"),
        pytest.param(404, "404 page not found\n", "404 page not found", id="the status once"),
        pytest.param(503, "<html>\n busy\n</html>", "503 <html> busy </html>", id="one line"),
        pytest.param(422, status("a:\n  b"), "422 a: b", id="one line of the server's"),
        pytest.param(500, "", "500 ", id="nothing"),
        pytest.param(500, '["a"]', '500 ["a"]', id="something else"),
        pytest.param(403, status(QUOTA), f"403 {QUOTA}", id="a quota is no missing right"),
        pytest.param(500, "x" * 5000, f"500 {'x' * MESSAGE_LIMIT}", id="a book"),
    ],
)
def test_a_refusal_is_told_in_one_line(code: int, text: str, told: str) -> None:
    assert sentence("list /jobs", JOBS, code, text) == f"list /jobs: {told}"


def test_a_missing_right_is_named_with_what_to_do() -> None:
    told = sentence("list /jobs", JOBS, 403, status(RIGHT))
    assert told.startswith(f"list /jobs: 403 {RIGHT}; give that user this right: ")
    assert "upgrade the release" in told


def test_a_missing_crd_is_named_with_what_to_do() -> None:
    told = sentence("list /models", MODELS, 404, "404 page not found\n")
    assert told == f"list /models: 404 page not found: {not_installed([MODELS])}"
    assert "the CRD models.tidegate.dev is not installed: " in told
    assert "kubectl apply --server-side -f crds/" in told


def test_an_object_that_is_not_there_is_no_missing_crd() -> None:
    told = sentence("apply /m", MODELS, 404, status('namespaces "a" not found'))
    assert told == 'apply /m: 404 namespaces "a" not found'


@pytest.mark.parametrize("resources", [CUSTOM, CUSTOM[:1]])
def test_all_missing_crds_are_named_in_one_line(resources: tuple[Resource, ...]) -> None:
    told = not_installed(resources)
    assert "\n" not in told
    assert all(f"{r.plural}.tidegate.dev" in told for r in resources)
