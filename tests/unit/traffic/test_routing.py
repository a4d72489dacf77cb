import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import TerminalError
from tidegate.traffic.routing import Candidate, Match, Member, Routing

NAMES = st.text(st.characters(codec="utf-8"), max_size=10)
ROUTINGS = st.builds(
    Routing,
    model=NAMES,
    generation=st.integers(0, 2**53),
    stable=NAMES,
    stable_address=NAMES,
    candidate=st.none()
    | st.builds(
        Candidate,
        NAMES,
        NAMES,
        st.integers(0, 100),
        NAMES,
        st.lists(st.builds(Match, NAMES, NAMES), max_size=2).map(tuple),
        st.integers(0, 100),
    ),
    members=st.lists(st.builds(Member, NAMES, NAMES, NAMES), max_size=3).map(tuple),
    prediction_edges=st.lists(st.floats(-1e9, 1e9), max_size=4).map(tuple),
    feedback_horizon_seconds=st.integers(0, 10**7),
    feedback_enabled=st.booleans(),
    mark_key=st.binary(max_size=16).map(bytes.hex),
)


@given(routing=ROUTINGS)
def test_a_document_survives_its_text(routing: Routing) -> None:
    assert Routing.from_json(routing.to_json()) == routing
    assert Routing.from_json(routing.to_json()).to_json() == routing.to_json()


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"model": "a"}', "not json"])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(TerminalError) as caught:
        Routing.from_json(text)
    assert caught.value.reason == "InvalidRouting"


def test_a_weight_that_is_no_number_is_refused() -> None:
    document = json.loads(Routing("m", 1, "r", "a:1", Candidate("c", "b:1", 5)).to_json())
    document["candidate"]["weight"] = "much"
    with pytest.raises(TerminalError):
        Routing.from_json(json.dumps(document))
