"""S-20: the same authenticated GET through a gateway as from the backend alone, beside nginx as a plain reverse proxy.

The backend is `backend serve` without telemetry, as is the gateway, whose limits are on but so high that nobody reaches
them; counted in memory. nginx (Debian's, one worker, kept connections to the backend) forwards and does nothing else.
The load, the backend and the gateway share the machine, so that the rate depends on what else runs there. The CPU time
of a call, in the gateway's process, and in the backend's when that is asked alone, depends on it less. The delay is
what a proxy adds to one request after another.
"""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import aiohttp

from bench import postgres
from bench.load import loaded
from bench.process import free_port, serving
from bench.rounds import Figure, Run, Values, interleave
from bench.serve import SIGNED_IN, TOKEN, Served, backend

PATH = "/api/v1/user/account"
_GATEWAY_TOKEN = "a gateway token for the bench, 32 bytes"
_NGINX = """
daemon off; pid {folder}/pid; error_log stderr crit; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""
_SAMPLES = 2_000


async def measure(*, quick: bool) -> list[Figure]:
    """Load each for 5 s in each round, 2 s when quick."""
    seconds, rounds = (2.0, 2) if quick else (5.0, 5)
    async with postgres.migrated() as dsn:
        await postgres.run(dsn, *SIGNED_IN)
        async with backend(dsn, {**postgres.QUIET, "BACKEND_GATEWAY_TOKEN": _GATEWAY_TOKEN}) as served:
            sides: dict[str, Run] = {
                "the backend alone": partial(_round, served, seconds),
                "ours": partial(_gateway_round, served, seconds),
            }
            if shutil.which("nginx"):
                sides["nginx"] = partial(_nginx_round, served, seconds)
            taken = await interleave(rounds, **sides)
    figures = [
        taken.figure("S-20", "GET through the gateway", "/s", "rate", against="the backend alone", goal=0.6),
        taken.figure("-", "CPU time of a GET in the gateway's process", "us", "cpu", against="the backend alone"),
        taken.figure("-", "median of one GET after another, through the gateway", "us", "delay"),
        taken.figure(
            "-", "median of one GET after another, the backend alone", "us", "delay", ours="the backend alone"
        ),
    ]
    if "nginx" in sides:
        figures.append(taken.figure("-", "GET through nginx", "/s", "rate", ours="nginx", against="the backend alone"))
    return figures


async def _round(served: Served, seconds: float, port: int = 0, pid: int = 0) -> Values:
    """Load a port, of the backend itself when 0.

    `delay` is the median of single requests, `cpu` what a request costs the process `pid`, both in microseconds.
    """
    port, pid = port or served.port, pid or served.pid
    values = await loaded(port, pid, PATH, TOKEN, seconds)
    values["cpu"] = 1e6 / values["by_cpu"]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        took = []
        for _ in range(_SAMPLES):
            started = perf_counter()
            async with client.get(f"http://127.0.0.1:{port}{PATH}") as answer:
                await answer.read()
            took.append(perf_counter() - started)
    return values | {"delay": sorted(took)[len(took) // 2] * 1e6}


async def _gateway_round(served: Served, seconds: float) -> Values:
    async with gateway(served) as (port, pid):
        return await _round(served, seconds, port, pid)


@asynccontextmanager
async def gateway(served: Served, **settings: str) -> AsyncIterator[tuple[int, int]]:
    """Run `gateway serve` before a backend; the block gets its port and its process's id."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY_LISTEN_ADDR": f"127.0.0.1:{port}",
        "GATEWAY_BACKEND_URL": f"http://127.0.0.1:{served.port}",
        "GATEWAY_TOKEN": _GATEWAY_TOKEN,
        "GATEWAY_LIMIT_ADDRESS": "1000000",
        "GATEWAY_LIMIT_ACCOUNT": "1000000",
        "GATEWAY_OTEL_TRACES_EXPORTER": "none",
        "GATEWAY_OTEL_METRICS_EXPORTER": "none",
        **settings,
    }
    command = (sys.executable, "-m", "galaxy_gateway", "serve")
    async with serving(*command, environment=environment, port=port) as process:
        yield port, process.pid


async def _nginx_round(served: Served, seconds: float) -> Values:
    port = free_port()
    with TemporaryDirectory() as folder:
        command = ("nginx", "-p", folder, "-c", _configured(folder, backend=served.port, port=port))
        async with serving(*command, port=port):
            return await _round(served, seconds, port)


def _configured(folder: str, **ports: int) -> str:
    """Write nginx's configuration, and return its path."""
    path = Path(folder, "nginx.conf")
    path.write_text(_NGINX.format(folder=folder, **ports), encoding="utf-8")
    return str(path)
