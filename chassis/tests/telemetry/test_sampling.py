"""Whether a piece of work is traced."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from galaxy_chassis.telemetry.sampling import parse_traceparent

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


@settings(deadline=None, max_examples=60)  # other work on the machine is no failure
@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
@example(SAMPLED)
@example(SAMPLED + "-more")
@example(f"cc-{TRACE_ID}-{SPAN_ID}-01-more")
def test_traceparent_is_read_by_the_standard(value: str) -> None:
    """Whatever is read has the standard's shape, and only what has is read."""
    parent = parse_traceparent(value)
    parts = value.split("-")
    well_formed = (
        len(parts) >= 4
        and [len(part) for part in parts[:4]] == [2, 32, 16, 2]
        and all(set(part) <= set("0123456789abcdef") for part in parts[:4])
        and parts[0] != "ff"
        and int(parts[1], 16) != 0
        and int(parts[2], 16) != 0
        and (parts[0] != "00" or len(parts) == 4)
        and "\n" not in value
    )
    assert (parent is not None) == well_formed
    if parent is not None:
        assert parent == (parts[1], parts[2], int(parts[3], 16) % 2 == 1)
