"""The kernel's own spans: one for each request, call and worker's pass that is traced."""

import time
from collections.abc import Mapping
from contextvars import Token

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

Attributes = Mapping[str, str | int]

RECORDED = TraceFlags(0x03)
"""Sampled, with a trace id whose bits are random (W3C Trace Context level 2, 3.2.2.5)."""
_SCOPE = InstrumentationScope("galaxy_kernel")
_UNSET, _ERROR = Status(), Status(StatusCode.ERROR)


class Trace:
    """A span that is being recorded and is the current one of its context, so that plugins' spans are its children.

    The SDK's own span costs some 25 µs, since it guards each attribute by locks and limits. The kernel knows all the
    attributes of its spans, so it notes how one began, and makes at the end what exporters read. For other code the
    span is one that accepts no attributes.
    """

    __slots__ = ("_attributes", "_context", "_kind", "_name", "_parent", "_started", "_token", "span_id", "trace_id")

    def __init__(
        self, name: str, kind: SpanKind, attributes: Attributes, context: SpanContext, parent: SpanContext | None
    ) -> None:
        self._name, self._kind, self._attributes = name, kind, attributes
        self._context, self._parent = context, parent
        self.trace_id, self.span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        """Hexadecimal, as OpenTelemetry writes them."""
        self._token: Token[Context] = attach(set_span_in_context(NonRecordingSpan(context)))
        self._started = time.time_ns()

    def discard(self) -> None:
        """End the span, which nobody will read."""
        detach(self._token)

    def rename(self, name: str, attributes: Attributes) -> None:
        """Replace name and attributes, where only the end shows what it was."""
        self._name, self._attributes = name, attributes

    def end(self, resource: Resource, error: str | None, attributes: Attributes) -> ReadableSpan:
        """End the span and return it as exporters read it, with more attributes.

        `error` is the type of the exception, whose message may hold personal data.
        """
        ended = time.time_ns()
        detach(self._token)
        more: Attributes = {} if error is None else {"error.type": error}
        return ReadableSpan(
            self._name,
            self._context,
            self._parent,
            resource,
            {**self._attributes, **attributes, **more},
            kind=self._kind,
            status=_UNSET if error is None else _ERROR,
            start_time=self._started,
            end_time=ended,
            instrumentation_scope=_SCOPE,
        )
