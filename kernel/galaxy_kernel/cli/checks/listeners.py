"""Checks of where this process listens, and of the service that runs here, if one does."""

import asyncio
import errno
import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from galaxy_chassis.config.settings import split_address
from galaxy_chassis.doctor import Finding
from galaxy_kernel.core.settings import KernelSettings

_PATIENCE = 3.0
"""Seconds for the service, or a collector, to answer."""
_LARGEST = 1 << 20
"""Bytes of an answer that are read."""
_OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


async def check(settings: KernelSettings, *, rpc: bool) -> Sequence[Finding]:
    """Check the service and every address to listen on; `rpc`: whether a plugin contributes a gRPC service."""
    document = await asyncio.to_thread(_ask, settings.http_listen_addr)
    listeners = dict(_listeners(settings, rpc=rpc))
    service = _service(settings.http_listen_addr, document)
    found = [_listener(name, *where, ours=document is not None) for name, where in listeners.items()]
    return [service, *found, *_clashes(listeners), _exposure(settings)]


def _listeners(settings: KernelSettings, *, rpc: bool) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each listener with its variable and address."""
    yield "HTTP listener", ("BACKEND_HTTP_LISTEN_ADDR", settings.http_listen_addr)
    if rpc:
        yield "gRPC listener", ("BACKEND_PUSH_LISTEN_ADDR", settings.push_listen_addr)
    if settings.otel_metrics_exporter == "prometheus":
        yield "Prometheus listener", ("BACKEND_OTEL_PROMETHEUS_LISTEN_ADDR", settings.otel_prometheus_listen_addr)


def _listener(name: str, variable: str, address: str, *, ours: bool) -> Finding:
    """Try to listen there. `ours`: the service runs here, and has the address itself."""
    host, port = split_address(address)
    try:
        with _bound(host, port):
            return Finding(name, "ok", f"{address} is free")
    except OSError as error:
        told = f"{variable}: cannot listen on {address}: "
        if error.errno == errno.EADDRINUSE and ours:
            return Finding(name, "ok", f"{address} is in use, by the service that runs here")
        if error.errno == errno.EADDRINUSE:
            return Finding(name, "failed", f"{told}another process has that port; stop it or choose another port")
        if error.errno == errno.EACCES:
            return Finding(name, "failed", f"{told}this user may not use that port; choose one from 1024 on")
        return Finding(name, "failed", f"{told}{error.strerror or error}; choose an address of this machine")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)  # another listener with SO_REUSEADDR shows only now
    except BaseException:
        listener.close()
        raise
    return listener


def _clashes(listeners: Mapping[str, tuple[str, str]]) -> Iterator[Finding]:
    """Yield the listeners that have the address of an earlier one."""
    owners: dict[str, str] = {}
    for name, (variable, address) in listeners.items():
        other = owners.setdefault(address, variable)
        if other != variable and split_address(address)[1] != 0:
            yield Finding(name, "failed", f"{variable} and {other} are both {address}: choose another port for one")


def _exposure(settings: KernelSettings) -> Finding:
    host = split_address(settings.http_listen_addr)[0]
    if _is_loopback(host) or settings.admin_networks:
        return Finding("exposure", "ok", "not everybody on the network reaches the operators' routes")
    told = (
        f"BACKEND_HTTP_LISTEN_ADDR is {settings.http_listen_addr}: everybody who reaches it can call the operators' "
        "routes, without TLS: set BACKEND_ADMIN_NETWORKS, and let only the gateway reach it"
    )
    return Finding("exposure", "warning", told)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _service(address: str, document: Mapping[str, Any] | None) -> Finding:
    """Judge the answer of the service."""
    if document is None:
        return Finding("service", "skipped", f"none answers at {address}")
    wrong = [  # a service that listens on a public address keeps the details to itself
        f"{each.get('name')} ({each.get('plugin')}): {each.get('detail') or each.get('state')}"
        for each in document["checks"]
        if isinstance(each, dict) and each.get("state") != "ok"
    ]
    ready = document["status"] == "ready"
    return Finding("service", "ok" if ready else "failed", "; ".join(wrong) or f"ready at {address}")


def _ask(address: str) -> dict[str, Any] | None:
    """Return what `/readyz` answers there; None where nothing answers, or something that is not a backend."""
    host, port = split_address(address)
    where = f"[{host}]" if ":" in host else host
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # not by way of http_proxy
    try:
        with opener.open(f"http://{where}:{port}/readyz", timeout=_PATIENCE) as answer:
            body = answer.read(_LARGEST)
    except urllib.error.HTTPError as error:
        body = _rest_of(error)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return _document(body)


def _rest_of(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_LARGEST)
    except (OSError, http.client.HTTPException):
        return b""


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(document, dict) and isinstance(document.get("checks"), list)
    return document if fits and document.get("status") in ("ready", "not_ready") else None


async def collector(settings: KernelSettings) -> Sequence[Finding]:
    """Check that something listens where telemetry is sent."""
    if "otlp" not in (settings.otel_traces_exporter, settings.otel_metrics_exporter):
        return [Finding("telemetry", "ok", "is not sent anywhere")]
    url = os.environ.get(_OTLP, "http://localhost:4317")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, ValueError, TimeoutError):
        told = (
            f"no collector listens at {url}, and traces and metrics are lost: set {_OTLP}, or "
            "BACKEND_OTEL_TRACES_EXPORTER=none and BACKEND_OTEL_METRICS_EXPORTER=none"
        )
        return [Finding("telemetry", "warning", told)]
    writer.close()
    return [Finding("telemetry", "ok", f"a collector listens at {url}")]
