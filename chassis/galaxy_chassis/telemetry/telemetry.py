"""The tracer and meter providers of one kernel, and the spans around its work."""

import asyncio
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from opentelemetry.metrics import Meter
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, Tracer

from galaxy_chassis.config.process import ProcessSettings
from galaxy_chassis.request_context import current_request
from galaxy_chassis.telemetry import metrics, throttle
from galaxy_chassis.telemetry.durations import Durations
from galaxy_chassis.telemetry.exporting import (
    LogMetricExporter,
    LogSpanExporter,
    PeriodicReader,
    PrometheusListener,
    PrometheusReader,
    SpanQueue,
    in_background,
)
from galaxy_chassis.telemetry.sampling import KernelSampler, Parent, parse_traceparent
from galaxy_chassis.telemetry.spans import RECORDED, Attributes, Trace
from galaxy_chassis.telemetry.usage import observe_process

TracesExporter = Literal["otlp", "none", "stdout"]
MetricsExporter = Literal["otlp", "none", "stdout", "prometheus"]

_DRAWN = 256
"""Trace ids drawn at once, which costs a sixth of drawing each by itself."""
_LAST_WORDS = 0.5
"""Seconds for interrupted exports to end."""


class Telemetry:
    """Traces and metrics of one kernel. Nothing in it is global: two kernels live in one process.

    States: made (tracers and meters can be had, nothing is exported, no thread runs) → started → shut down.
    """

    def __init__(
        self,
        *,
        traces_exporter: TracesExporter = "none",
        metrics_exporter: MetricsExporter = "none",
        prometheus_listen_addr: str = "127.0.0.1:9464",
        sample_ratio: float = 0.1,
        service_name: str = "galaxy-backend",
        prometheus_variable: str = "BACKEND_OTEL_PROMETHEUS_LISTEN_ADDR",
        random: random.Random | None = None,
    ) -> None:
        disabled = os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"
        self._traces: TracesExporter = "none" if disabled else traces_exporter
        self._metrics: MetricsExporter = "none" if disabled else metrics_exporter
        self._prometheus_address, self._prometheus_variable = prometheus_listen_addr, prometheus_variable
        self._ratio = sample_ratio
        chance = random or _random
        self._chance, self._bits, self._bytes = chance.random, chance.getrandbits, chance.randbytes
        self._trace_ids: list[str] = []
        """Of requests that are not traced: drawn, and not used yet."""
        resource = _resource(service_name)
        self._tracers = TracerProvider(KernelSampler(sample_ratio), resource, shutdown_on_exit=False)
        self._meters = MeterProvider(resource=resource, shutdown_on_exit=False)
        self.http_durations = Durations(metrics.HTTP_DURATION, "galaxy_kernel.http")
        process = self.meter("galaxy_chassis")
        observe_process(process)
        self.note_loop_delay: Callable[[float], None] = metrics.LOOP_DELAY.on(process).record
        """Called by the watchdog of the event loop, in seconds."""
        self._processor: SpanQueue | None = None
        self._span_exporter: SpanExporter | None = None
        self._reader: MetricReader | None = None
        self._metric_exporter: MetricExporter | None = None
        self._listener: PrometheusListener | None = None
        self._started = False

    @property
    def prometheus_address(self) -> str | None:
        """Where Prometheus finds the metrics, while it can."""
        return None if self._listener is None else self._listener.address

    def tracer(self, name: str) -> Tracer:
        """Return a tracer; its spans are recorded where the current request context is."""
        return self._tracers.get_tracer(name)

    def meter(self, name: str) -> Meter:
        """Return a meter."""
        return self._meters.get_meter(name)

    def add_reader(self, reader: MetricReader) -> None:
        """Have another reader collect the metrics, beside the exporter's; durations of requests are not among them."""
        self._meters.add_metric_reader(reader)

    def start(self) -> None:
        """Begin to export. Raise BootError when the address for Prometheus cannot be had."""
        throttle.hold_back()
        self._started = True
        self._span_exporter = _span_exporter(self._traces)
        if self._span_exporter is not None:
            self._processor = SpanQueue(self._span_exporter, meter_provider=self._meters)
            self._tracers.add_span_processor(self._processor)
        if self._metrics == "prometheus":
            reader = PrometheusReader(self.http_durations)
            self._listener = PrometheusListener(self._prometheus_address, reader.registry, self._prometheus_variable)
            self._reader = reader
        else:
            self._metric_exporter = _metric_exporter(self._metrics)
            if self._metric_exporter is not None:
                self._reader = PeriodicReader(self._metric_exporter, self.http_durations)
        if self._reader is not None:
            self._meters.add_metric_reader(self._reader)

    def shutdown(self, timeout: float = 2.0) -> None:
        """Export what is left, and stop. Returns within about `timeout` seconds, whatever the collector does."""
        if not self._started:
            return
        self._started = False
        threads = []
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._processor is not None:
            threads.append(in_background("otel-traces-shutdown", self._processor.shutdown))
        if self._reader is not None:
            threads.append(in_background("otel-metrics-shutdown", self._reader.shutdown))
        if not _joined(threads, timeout):
            self._give_up()
            if not _joined(threads, _LAST_WORDS):
                return  # what they may still log stays throttled
        throttle.release()

    def _give_up(self) -> None:
        """Cut off exports that hang: closing their channels ends the threads that wait for them."""
        for exporter in (self._span_exporter, self._metric_exporter):
            if exporter is not None:
                exporter.shutdown()

    def decide(self, traceparent: str | None) -> Parent | Literal["root"] | None:
        """Decide whether the current request is traced: under which parent, as a root, or (None) not at all.

        The caller's decision (`traceparent`, W3C Trace Context) has precedence over the ratio; a full queue of spans
        has precedence over both. A request that is not traced gets its trace id here, and nothing else.
        """
        parent = None
        if traceparent is not None:
            parent = parse_traceparent(traceparent)
        if self._processor is not None:
            wanted = self._chance() < self._ratio if parent is None else parent.sampled
            if wanted and self._processor.has_room():
                return parent or "root"
        context = current_request.get()
        if context is not None:
            context.trace_id = self._fresh_trace_id() if parent is None else parent.trace_id
        return None

    def _fresh_trace_id(self) -> str:
        if not self._trace_ids:
            drawn = self._bytes(16 * _DRAWN).hex()
            self._trace_ids = [drawn[at : at + 32] for at in range(0, len(drawn), 32)]
        return self._trace_ids.pop()

    def record(self, decision: Parent | Literal["root"], name: str, kind: SpanKind, attributes: Attributes) -> Trace:
        """Begin the span of the current request context, which gets its ids."""
        parent = None if decision == "root" else _remote(decision)
        trace_id = self._bits(128) if parent is None else parent.trace_id
        span_context = SpanContext(trace_id, self._bits(64), is_remote=False, trace_flags=RECORDED)
        trace = Trace(name, kind, attributes, span_context, parent)
        context = current_request.get()
        if context is not None:
            context.trace_id, context.span_id = trace.trace_id, trace.span_id
        return trace

    def finish(self, trace: Trace, error: str | None, attributes: Attributes) -> None:
        """End a span, with more attributes; `error` is the type of the exception."""
        span = trace.end(self._tracers.resource, error, attributes)
        if self._processor is not None:
            self._processor.on_end(span)

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        traceparent: str | None = None,
        keep: Callable[[], bool] = lambda: True,
    ) -> Iterator[Trace | None]:
        decision = self.decide(traceparent)
        trace = None if decision is None else self.record(decision, name, kind, attributes)
        error: str | None = None
        try:
            yield trace
        except (Exception, asyncio.CancelledError) as failure:
            error = type(failure).__name__
            raise
        finally:
            if trace is not None:
                if error is not None or keep():
                    self.finish(trace, error, {})
                else:
                    trace.discard()

    @contextmanager
    def worker_span(self, plugin: str, worker: str, keep: Callable[[], bool] = lambda: True) -> Iterator[Trace | None]:
        """Trace one pass of a worker, inside its `request_context(...)`.

        `keep` says at its end whether a pass that did not fail is exported: most find nothing to do.
        """
        attributes = {"galaxy.plugin": plugin, "galaxy.worker": worker}
        with self._span(worker, SpanKind.INTERNAL, attributes, keep=keep) as trace:
            yield trace

    @contextmanager
    def rpc_span(self, method: str, traceparent: str | None = None) -> Iterator[Trace | None]:
        """Trace one gRPC call; `method` as on the wire, `/package.Service/Method`."""
        name = method.removeprefix("/")
        with self._span(name, SpanKind.SERVER, {"rpc.system.name": "grpc", "rpc.method": name}, traceparent) as trace:
            yield trace


def make_telemetry(settings: ProcessSettings, service_name: str) -> Telemetry:
    """Return the telemetry that a process's settings name; not started."""
    return Telemetry(
        traces_exporter=settings.otel_traces_exporter,
        metrics_exporter=settings.otel_metrics_exporter,
        prometheus_listen_addr=settings.otel_prometheus_listen_addr,
        sample_ratio=settings.otel_traces_sample_ratio,
        service_name=service_name,
        prometheus_variable=f"{settings.prefix or ''}OTEL_PROMETHEUS_LISTEN_ADDR",
    )


def _joined(threads: Sequence[threading.Thread], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


_random = random.Random()  # noqa: S311  trace ids are not secrets


def _resource(service_name: str) -> Resource:
    try:
        release = version("galaxy-backend-kernel")
    except PackageNotFoundError:
        release = "unknown"
    ours = {"service.name": service_name, "service.version": release, "service.instance.id": str(uuid.uuid4())}
    return Resource.create(ours).merge(OTELResourceDetector().detect())  # OTEL_SERVICE_NAME etc. have precedence


def _remote(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)


def _span_exporter(kind: TracesExporter) -> SpanExporter | None:
    if kind == "otlp":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415  slow; only where used
            OTLPSpanExporter,
        )

        return OTLPSpanExporter()
    return LogSpanExporter() if kind == "stdout" else None


def _metric_exporter(kind: MetricsExporter) -> MetricExporter | None:
    if kind == "otlp":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415  slow; only where used
            OTLPMetricExporter,
        )

        return OTLPMetricExporter()
    return LogMetricExporter() if kind == "stdout" else None
