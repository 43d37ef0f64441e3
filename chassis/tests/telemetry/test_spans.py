"""The kernel's own spans, as exporters read them."""

import time

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags, get_current_span

from galaxy_chassis.telemetry.spans import RECORDED, Trace

CONTEXT = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=RECORDED)
PARENT = SpanContext(0xABC, 0x123, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def ended(error: str | None = None, parent: SpanContext | None = None) -> ReadableSpan:
    trace = Trace("GET /x", SpanKind.SERVER, {"a": 1, "b": "two"}, CONTEXT, parent)
    return trace.end(Resource({"service.name": "s"}), error, {"b": "later", "c": 3})


def test_ids_are_written_as_opentelemetry_writes_them() -> None:
    """Hexadecimal with all their zeros, as log lines carry them."""
    trace = Trace("x", SpanKind.INTERNAL, {}, CONTEXT, None)
    trace.end(Resource({}), None, {})
    assert trace.trace_id == "abc".rjust(32, "0")
    assert trace.span_id == "def".rjust(16, "0")


def test_a_span_is_the_current_one_until_it_ends() -> None:
    """A plugin's span in between is its child; afterwards the one before is current again."""
    before = get_current_span().get_span_context()
    trace = Trace("outer", SpanKind.INTERNAL, {}, CONTEXT, None)
    assert get_current_span().get_span_context() == CONTEXT
    assert not get_current_span().is_recording()
    trace.end(Resource({}), None, {})
    assert get_current_span().get_span_context() == before


def test_a_discarded_span_is_the_current_one_no_longer() -> None:
    """What is done afterwards is not its child."""
    before = get_current_span().get_span_context()
    trace = Trace("idle", SpanKind.INTERNAL, {}, CONTEXT, None)
    assert get_current_span().get_span_context() == CONTEXT
    trace.discard()
    assert get_current_span().get_span_context() == before


def test_a_span_has_all_that_exporters_read() -> None:
    """Name, kind, parent, resource, times, and the attributes of both its ends, the later ones last."""
    before = time.time_ns()
    span = ended(parent=PARENT)
    assert (span.name, span.kind, span.parent) == ("GET /x", SpanKind.SERVER, PARENT)
    assert span.get_span_context() == CONTEXT
    assert dict(span.attributes or {}) == {"a": 1, "b": "later", "c": 3}
    assert span.resource.attributes["service.name"] == "s"
    assert span.start_time is not None and span.end_time is not None
    assert before <= span.start_time <= span.end_time <= time.time_ns()


def test_a_failure_is_told_by_its_type() -> None:
    """A span that went well has no status; one that did not says what was raised, and no more."""
    assert ended().status.status_code is StatusCode.UNSET
    failed = ended("ValueError")
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert failed.status.description is None
