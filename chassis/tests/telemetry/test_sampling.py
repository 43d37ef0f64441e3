"""Whether a piece of work is traced."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from galaxy_chassis.request_context import request_context
from galaxy_chassis.telemetry.sampling import KernelSampler, parse_traceparent

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
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


def sampled(sampler: KernelSampler, context: Context | None = None, trace_id: int = 1) -> bool:
    return sampler.should_sample(context, trace_id, "inner").decision.is_sampled()


@pytest.mark.parametrize("flags", [TraceFlags.SAMPLED, TraceFlags.DEFAULT])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_span_follows_its_parent(ratio: float, flags: int) -> None:
    """Whatever the ratio: a trace is recorded whole or not at all."""
    parent = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(flags))
    context = set_span_in_context(NonRecordingSpan(parent))
    assert sampled(KernelSampler(ratio), context) == (flags == TraceFlags.SAMPLED)


def test_a_plugins_span_in_untraced_work_is_no_root() -> None:
    """Inside a request context the decision has been made; outside any, the ratio decides."""
    sampler = KernelSampler(1.0)
    with request_context("things"):
        assert not sampled(sampler, Context())
    assert sampled(sampler, Context())
    assert not sampled(KernelSampler(0.0), Context())


def test_the_sampler_says_its_ratio() -> None:
    """It stands in what the SDK tells about itself."""
    assert "0.25" in KernelSampler(0.25).get_description()
