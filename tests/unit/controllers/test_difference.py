from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.controllers.difference import contains

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("live", "intent", "want"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, True, id="the server's defaults"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, False, id="a field is missing"),
        pytest.param({"a": 1}, {"a": 2}, False, id="a value differs"),
        pytest.param({"cpu": "1"}, {"cpu": "1000m"}, True, id="a quantity in other words"),
        pytest.param({"memory": "1Gi"}, {"memory": "1024Mi"}, True, id="binary units"),
        pytest.param({"memory": "1G"}, {"memory": "1Gi"}, False, id="different units"),
        pytest.param({"a": "x"}, {"a": "y"}, False, id="other words are no quantities"),
        pytest.param([1, 2], [2, 1], False, id="order counts in lists"),
        pytest.param([{"n": 1, "d": 0}], ({"n": 1},), True, id="defaults inside a list"),
        pytest.param({"a": True}, {"a": 1}, False, id="true is not one"),
        pytest.param("a", {"a": 1}, False, id="another type"),
        pytest.param(None, {}, False, id="nothing"),
    ],
)
def test_contains(live: Any, intent: Any, *, want: bool) -> None:
    assert contains(live, intent) is want


@given(JSON)
def test_everything_contains_itself(value: Any) -> None:
    assert contains(value, value)


@given(st.dictionaries(st.text(max_size=3), JSON), st.dictionaries(st.text(max_size=3), JSON))
def test_defaults_never_hide_the_intent(intent: dict[str, Any], defaults: dict[str, Any]) -> None:
    assert contains({**defaults, **intent}, intent)
