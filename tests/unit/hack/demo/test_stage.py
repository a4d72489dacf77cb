from typing import Any

import pytest
from hack.demo.stage import SYSTEM_NAMESPACE, WATCHED, rivals
from hack.demo.watch import NAMESPACE


def operator(namespace: str, **environment: str) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in environment.items()]
    containers = [{"name": "operator", "env": [{"name": "POD", "valueFrom": {}}, *env]}]
    return {
        "metadata": {"name": "tidegate", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(operator("ml", **{WATCHED: ""}), ["ml/tidegate"], id="of all namespaces"),
        pytest.param(operator("ml", **{WATCHED: f"a,{NAMESPACE}"}), ["ml/tidegate"], id="of ours"),
        pytest.param(operator("ml", **{WATCHED: "a,b"}), [], id="of others"),
        pytest.param(operator(SYSTEM_NAMESPACE, **{WATCHED: NAMESPACE}), [], id="our own"),
        pytest.param(operator("ml", OTHER=""), [], id="no operator"),
    ],
)
def test_an_operator_that_would_interfere_is_found(
    found: dict[str, Any], expected: list[str]
) -> None:
    assert rivals([found]) == expected
