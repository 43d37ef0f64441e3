"""Where traces and metrics go, also when the collector does not accept them."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from galaxy_chassis.errors import BootError
from galaxy_chassis.http.telemetry import HttpTelemetry
from galaxy_chassis.telemetry import Telemetry, throttle
from galaxy_chassis.telemetry.throttle import Throttle

Served = Callable[..., tuple[str, str]]
Logged = Callable[[], AbstractContextManager[list[dict[str, Any]]]]
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


def test_prometheus_reads_metrics_apart_from_the_api(served: Served) -> None:
    """Two kernels in one process each serve their own metrics, and stop listening at shutdown."""
    both = [Telemetry(metrics_exporter="prometheus", prometheus_listen_addr="127.0.0.1:0") for _ in range(2)]
    for telemetry in both:
        telemetry.start()
    served(HttpTelemetry(both[0]))
    pages = []
    for telemetry in both:
        with urllib.request.urlopen(f"http://{telemetry.prometheus_address}/metrics", timeout=5) as answer:
            pages.append(answer.read().decode())
    line = next(line for line in pages[0].splitlines() if line.startswith("http_server_request_duration_seconds_count"))
    assert 'http_route="/api/v1/public/things/{id}"' in line
    assert line.endswith(" 1.0")
    assert "http_server_request_duration_seconds" not in pages[1]
    assert "process_uptime_seconds" in pages[1]
    address = both[0].prometheus_address
    assert address is not None
    for telemetry in both:
        telemetry.shutdown(5)
    host, _, port = address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 5)


def test_a_taken_prometheus_port_refuses_the_boot() -> None:
    """A port that is in use refuses the boot, naming the variable."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        telemetry = Telemetry(metrics_exporter="prometheus", prometheus_listen_addr=address)
        with pytest.raises(BootError, match="BACKEND_OTEL_PROMETHEUS_LISTEN_ADDR"):
            telemetry.start()
        telemetry.shutdown(1)


def test_stdout_exporters_write_log_lines(served: Served, logged: Logged) -> None:
    """`stdout` writes spans and metrics as JSON lines of the log, scrubbed like any."""
    with logged() as lines:
        telemetry = Telemetry(traces_exporter="stdout", metrics_exporter="stdout", sample_ratio=1.0)
        telemetry.start()
        trace_id, _ = served(HttpTelemetry(telemetry))
        with telemetry.tracer("galaxy_things").start_as_current_span("outside") as span:
            span.set_attribute("who", "ann@example.org")
        telemetry.shutdown(5)
    spans = {line["name"]: line for line in lines if line["event"] == "span"}
    assert spans["GET /api/v1/public/things/{id}"]["trace_id"] == trace_id
    assert spans["outside"]["attributes"]["who"].startswith("email:")
    names = {line["name"] for line in lines if line["event"] == "metric"}
    assert {"http.server.request.duration", "process.uptime"} <= names


@contextmanager
def black_hole() -> Iterator[int]:
    """Accept connections and never answer; return the port."""
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in kept:
        connection.close()


@contextmanager
def refused() -> Iterator[int]:
    """Return a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("collector_at", [black_hole, refused])
def test_an_unreachable_collector_never_slows_the_service(
    collector_at: Any, monkeypatch: pytest.MonkeyPatch, served: Served, logged: Logged
) -> None:
    """With a collector that hangs or is gone, requests do not wait for it, and the stop no longer than it may."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1024")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")  # what waited for the collector would hang
    with logged() as lines, collector_at() as port:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        telemetry = Telemetry(traces_exporter="otlp", metrics_exporter="otlp", sample_ratio=1.0)
        telemetry.start()
        http = HttpTelemetry(telemetry)
        for _ in range(5000):
            served(http)
        telemetry.shutdown(0.5)
    assert len([line for line in lines if line["event"] == "telemetry_export_failed"]) <= 1
    assert [line for line in lines if line["level"] == "error"] == []


def test_no_span_is_made_that_has_no_room(
    collector: Any, monkeypatch: pytest.MonkeyPatch, served: Served, logged: Logged
) -> None:
    """Work beyond what the collector takes is not traced, so what has a span id in the log is never dropped."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setattr(throttle, "_throttle", Throttle())  # another test may have used this minute's line
    telemetry = Telemetry(traces_exporter="otlp", sample_ratio=1.0)
    telemetry.start()
    http = HttpTelemetry(telemetry)
    with logged() as lines:
        ids = [served(http, {"traceparent": SAMPLED}) for _ in range(3000)]
        while not ids[-1][1]:  # until there is room again
            time.sleep(0.01)
            ids.append(served(http))
    telemetry.shutdown(5)
    traced = {span_id for _, span_id in ids if span_id}
    assert {span.span_id.hex() for span in collector.spans} == traced
    assert 8 < len(traced) < 3000
    assert all(trace_id for trace_id, _ in ids)
    assert ["full" in line["detail"] for line in lines if line["event"] == "telemetry_export_failed"] == [True]
