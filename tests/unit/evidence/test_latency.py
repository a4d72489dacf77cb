from hypothesis import given
from hypothesis import strategies as st

from tidegate.evidence.latency import BINS, GROWTH, bin_upper_seconds, latency_bin


@given(seconds=st.floats(0, 1e6))
def test_a_latency_lies_below_the_upper_bound_of_its_bin(seconds: float) -> None:
    index = latency_bin(seconds)
    assert 0 <= index < BINS
    if 0 < index < BINS - 1:
        assert seconds <= bin_upper_seconds(index) * (1 + 1e-12)
        assert seconds >= bin_upper_seconds(index) / GROWTH * (1 - 1e-12)


@given(a=st.floats(0, 1e3), b=st.floats(0, 1e3))
def test_slower_is_never_in_a_lower_bin(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert latency_bin(low) <= latency_bin(high)
