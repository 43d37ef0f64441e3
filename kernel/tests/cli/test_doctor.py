"""`backend doctor`: each thing that can be wrong is found by its name, and the others are looked at all the same."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from galaxy_chassis.clock import SystemClock
from galaxy_kernel.cli import doctor as under_test
from galaxy_kernel.cli.database import migrate
from galaxy_kernel.cli.doctor import doctor

Backend = Callable[..., Any]
SECRET = "a secret key for tests, of more than 32 bytes"
NOWHERE = "postgres://u:hunter2@127.0.0.1:1/none"


def examined(backend: Backend, **environment: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the status, and by check its state and detail."""
    done = backend(doctor, "--json", **{"BACKEND_HTTP_LISTEN_ADDR": "127.0.0.1:1", **environment})
    assert done.stderr == ""
    return done.status, {found["check"]: (found["state"], found["detail"]) for found in done.json}


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Answer every request alike; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_deployment_in_order(backend: Backend, empty_database: str) -> None:
    """Every check is ok, but the service that does not run here, which is not a fault."""
    environment = {"BACKEND_SECRET_KEY": SECRET, "BACKEND_POSTGRES_DSN": empty_database}
    assert backend(migrate, **environment).status == 0
    status, found = examined(backend, **environment)
    assert status == 0
    states = {check: state for check, (state, _) in found.items()}
    assert states == {
        "python": "ok",
        "plugins": "ok",
        "configuration": "ok",
        "postgres": "ok",
        "clock": "ok",
        "schema of kernel": "ok",
        "service": "skipped",
    }
    assert found["plugins"][1] == "lamp, bench"
    assert "PostgreSQL" in found["postgres"][1]


def test_a_set_that_cannot_stand_ends_the_look(backend: Backend) -> None:
    """Without plugins nothing else can be told."""
    status, found = examined(backend, BACKEND_PLUGINS_DISABLED="lamp")
    assert status == 1
    assert set(found) == {"python", "plugins"}
    assert found["plugins"][0] == "failed"
    assert "'bench' requires 'lamp.light'" in found["plugins"][1]


def test_what_is_not_set_is_named_and_postgres_is_passed_over(backend: Backend) -> None:
    """Each fault is a finding; the database is not asked with half of the settings."""
    done = backend(doctor, "--json")
    details = [row["detail"] for row in done.json if (row["check"], row["state"]) == ("configuration", "failed")]
    assert done.status == 1
    assert sorted(detail.partition(":")[0] for detail in details) == ["BACKEND_POSTGRES_DSN", "BACKEND_SECRET_KEY"]
    assert [row["state"] for row in done.json if row["check"] == "postgres"] == ["skipped"]
    assert [row for row in done.json if row["check"] == "service"] == []


def test_warnings_are_findings_that_do_not_fail(backend: Backend, empty_database: str) -> None:
    """An unknown variable that is let pass is shown."""
    environment = {"BACKEND_SECRET_KEY": SECRET, "BACKEND_POSTGRES_DSN": empty_database}
    backend(migrate, **environment)
    done = backend(doctor, "--json", BACKEND_LAMP_WATS="1", BACKEND_CONFIG_STRICT="false", **environment)
    assert done.status == 0
    assert ["BACKEND_LAMP_WATS" in row["detail"] for row in done.json if row["state"] == "warning"] == [True]


def test_a_database_that_is_not_there(backend: Backend) -> None:
    """It says so without the password, and still looks for the service."""
    status, found = examined(backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=NOWHERE)
    assert status == 1
    assert found["postgres"][0] == "failed"
    assert "hunter2" not in str(found)
    assert found["service"][0] == "skipped"


def test_a_schema_that_is_behind(backend: Backend, empty_database: str) -> None:
    """It fails with the command that brings it up."""
    status, found = examined(backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=empty_database)
    assert status == 1
    assert found["schema of kernel"][0] == "failed"
    assert "backend migrate" in found["schema of kernel"][1]


def test_a_server_that_is_too_old(backend: Backend, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed needs functions that came with a later one."""
    monkeypatch.setattr(under_test, "_OLDEST_POSTGRES", 990_000)
    _, found = examined(backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=empty_database)
    assert found["postgres"][0] == "failed"


@pytest.mark.parametrize(("hours", "state"), [(-1, "warning"), (0, "ok"), (1, "warning")])
def test_a_clock_that_is_off(
    backend: Backend, empty_database: str, monkeypatch: pytest.MonkeyPatch, hours: int, state: str
) -> None:
    """Ahead of the database's or behind it, beyond what a round trip explains."""

    off = lambda clock: datetime.now(UTC) + timedelta(hours=hours)  # noqa: E731 # a method in place of another
    monkeypatch.setattr(SystemClock, "now", off)
    _, found = examined(backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=empty_database)
    assert found["clock"][0] == state
    assert found["clock"][1].startswith("0.0 s" if state == "ok" else "36")


READY = json.dumps({"status": "ready", "checks": []}).encode()
NOT_READY = json.dumps(
    {
        "status": "not_ready",
        "checks": [
            {"name": "relay", "plugin": "mail", "state": "degraded", "detail": "refuses"},
            {"name": "postgres", "plugin": "kernel", "state": "failed", "detail": "away"},
            {"name": "feed", "plugin": "kernel", "state": "ok", "detail": ""},
        ],
    }
).encode()


@pytest.mark.parametrize(
    ("status", "body", "state", "says"),
    [
        (200, READY, "ok", ("ready at",)),
        (503, NOT_READY, "failed", ("relay (mail): refuses", "postgres (kernel): away")),
        (200, b"<html>", "skipped", ("none answers",)),
    ],
)
def test_the_service_that_runs_here_is_asked(
    backend: Backend, status: int, body: bytes, state: str, says: tuple[str, ...]
) -> None:
    """Its checks that are not well are shown; what is something else is not taken for it."""
    with answering(status, body) as address:
        _, found = examined(
            backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=NOWHERE, BACKEND_HTTP_LISTEN_ADDR=address
        )
    assert found["service"][0] == state
    assert all(part in found["service"][1] for part in says)
    assert "feed" not in found["service"][1]
