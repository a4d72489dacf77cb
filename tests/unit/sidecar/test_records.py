from hypothesis import given
from hypothesis import strategies as st

from tidegate.sidecar.records import Kind, Reader, Record, pack

RECORDS = st.builds(
    Record,
    kind=st.sampled_from(Kind),
    flags=st.integers(0, 511),
    status=st.integers(0, 999),
    arrival=st.floats(0, 4e9),
    generation=st.integers(0, 2**62),
    sequence=st.integers(0, 2**63),
    latency=st.floats(0, 1000, width=32),
    revision=st.text(max_size=20),
    request=st.binary(max_size=50),
    response=st.binary(max_size=50),
    caller_id=st.binary(max_size=50),
)


@given(records=st.lists(RECORDS, max_size=5), cut=st.integers(1, 200))
def test_records_survive_the_stream_however_it_is_cut(records: list[Record], cut: int) -> None:
    stream = b"".join(map(pack, records))
    reader = Reader()
    read = [r for at in range(0, len(stream), cut) for r in reader.feed(stream[at : at + cut])]
    assert read == records
