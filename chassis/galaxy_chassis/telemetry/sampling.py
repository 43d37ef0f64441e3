"""Whether a request is traced: W3C Trace Context, and the sampler for spans that plugins open themselves."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from galaxy_chassis.request_context import current_request

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Parent(NamedTuple):
    """The caller's span; ids in hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(value: str) -> Parent | None:
    """Return the parsed `traceparent` header (W3C Trace Context, 3.2), or None where it is malformed.

    Version 00 has exactly four parts; of a later version the first four are read, as the standard demands.
    """
    match = _TRACEPARENT.fullmatch(value)
    if match is None or (match[1] == "00" and match[5]):
        return None
    return Parent(match[2], match[3], bool(int(match[4], 16) & 1))


class KernelSampler(Sampler):
    """Follows the parent span; without one, the kernel's decision for the current context; outside any, the ratio.

    So a span that a plugin opens in an untraced request is not recorded as a stray root.
    """

    def __init__(self, ratio: float) -> None:
        self._chance = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        if parent.is_valid:
            chosen: Sampler = ALWAYS_ON if parent.trace_flags.sampled else ALWAYS_OFF
        elif current_request.get() is not None:
            chosen = ALWAYS_OFF
        else:
            chosen = self._chance
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"KernelSampler({self._chance.get_description()})"
