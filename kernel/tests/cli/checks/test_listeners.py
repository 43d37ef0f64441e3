"""Where a process listens, and what is there already."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_chassis.doctor import Finding
from galaxy_kernel.cli.checks import listeners
from galaxy_kernel.core.settings import KernelSettings

READY = json.dumps({"status": "ready", "checks": []}).encode()


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer every connection with the same bytes, and close it; yield the address."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def http(status: str, body: bytes) -> bytes:
    """Return an HTTP answer."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@contextlib.contextmanager
def taken() -> Iterator[str]:
    """Yield an address at which a program listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def free() -> str:
    """Return an address that is free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


async def found(**settings: Any) -> dict[str, Finding]:
    """Return the findings by check, with listeners at free addresses unless told otherwise."""
    addresses = {"http_listen_addr": free(), "push_listen_addr": free(), "otel_prometheus_listen_addr": free()}
    whole = KernelSettings(**{"otel_metrics_exporter": "prometheus", **addresses, **settings})
    return {each.check: each for each in await listeners.check(whole, rpc=True)}


async def test_free_addresses() -> None:
    """Each listener may have its own, and none is left occupied by the look."""
    for _ in range(2):
        states = {name: each.state for name, each in (await found()).items()}
        assert states == {
            "service": "skipped",
            "HTTP listener": "ok",
            "gRPC listener": "ok",
            "Prometheus listener": "ok",
            "exposure": "ok",
        }


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("http_listen_addr", "HTTP listener"),
        ("push_listen_addr", "gRPC listener"),
        ("otel_prometheus_listen_addr", "Prometheus listener"),
    ],
)
async def test_an_address_of_another_program(monkeypatch: pytest.MonkeyPatch, setting: str, name: str) -> None:
    """The variable is named, and what to do."""
    monkeypatch.setattr(listeners, "_PATIENCE", 0.05)
    with taken() as address:
        each = (await found(**{setting: address}))[name]
    assert each.state == "failed"
    assert each.detail.startswith(f"BACKEND_{setting.upper()}: cannot listen on {address}: another process has")


async def test_addresses_of_the_service_that_runs_here() -> None:
    """A running backend has its own addresses, which is not a fault."""
    with answering(http("200 OK", READY)) as address, taken() as push:
        each = await found(http_listen_addr=address, push_listen_addr=push)
    assert (each["service"].state, each["HTTP listener"].state, each["gRPC listener"].state) == ("ok", "ok", "ok")


async def test_two_listeners_of_one_address() -> None:
    """They would refuse each other at the start."""
    address = free()
    each = (await found(http_listen_addr=address, otel_prometheus_listen_addr=address))["Prometheus listener"]
    assert each.state == "failed"
    assert "BACKEND_OTEL_PROMETHEUS_LISTEN_ADDR and BACKEND_HTTP_LISTEN_ADDR" in each.detail


async def test_an_address_of_another_machine() -> None:
    """It is one that this machine does not have."""
    each = (await found(push_listen_addr="192.0.2.1:8081"))["gRPC listener"]
    assert each.state == "failed" and "choose an address of this machine" in each.detail


@pytest.mark.parametrize(("networks", "state"), [((), "warning"), (("10.0.0.0/8",), "ok")])
async def test_operators_routes_for_everybody(networks: tuple[str, ...], state: str) -> None:
    """A public address without bounds for operators is pointed out."""
    port = free().rpartition(":")[2]
    each = (await found(http_listen_addr=f"0.0.0.0:{port}", admin_networks=networks))["exposure"]
    assert each.state == state
    assert ("BACKEND_ADMIN_NETWORKS" in each.detail) == (state == "warning")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\xfe" * 100,
        http("200 OK", b"<html>"),
        http("200 OK", b"null"),
        http("200 OK", b'{"status": "ready"}'),
        http("200 OK", b'{"status": "up", "checks": []}'),
        http("200 OK", b'{"status": ["ready"], "checks": {}}'),
        http("404 Not Found", b"<html>"),
        http("503 Busy", b"\xff"),
        http("503 Busy", b"[" * 100_000),
        b"HTTP/1.1 503 Busy\r\nContent-Length: 999\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{",
        b"HTTP/1.1 302 Found\r\nLocation: nowhere://x\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_whatever_another_service_answers(answer: bytes) -> None:
    """It is not taken for ours, and its port is taken."""
    with answering(answer) as address:
        each = await found(http_listen_addr=address)
    assert (each["service"].state, each["HTTP listener"].state) == ("skipped", "failed")


async def test_checks_of_odd_shapes() -> None:
    """What a newer release answers is shown as far as it can be read."""
    body = json.dumps({"status": "not_ready", "checks": [7, {}, {"name": "feed", "state": "failed"}]}).encode()
    with answering(http("503 Busy", body)) as address:
        each = (await found(http_listen_addr=address))["service"]
    assert each.state == "failed" and "feed (None): failed" in each.detail


async def test_a_collector_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry goes nowhere, which is said once, with both ways out."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{free()}")
    (each,) = await listeners.collector(KernelSettings())
    assert each.state == "warning" and "BACKEND_OTEL_TRACES_EXPORTER=none" in each.detail


@pytest.mark.parametrize("url", ["collector", "http://[", "http://x:y"])
async def test_a_collector_that_is_not_a_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A malformed address is the same fault."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    (each,) = await listeners.collector(KernelSettings())
    assert each.state == "warning"


async def test_a_collector_that_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is enough; without an exporter nothing is asked for."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        (each,) = await listeners.collector(KernelSettings())
    assert each.state == "ok"
    (each,) = await listeners.collector(KernelSettings(otel_traces_exporter="none", otel_metrics_exporter="none"))
    assert each.state == "ok"
