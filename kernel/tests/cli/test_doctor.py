"""`backend doctor`: each thing that can be wrong is found by its name, and the others are looked at all the same."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from galaxy_chassis.clock import SystemClock
from galaxy_kernel.api import DoctorCheck, Finding
from galaxy_kernel.cli import doctor as under_test
from galaxy_kernel.cli.database import migrate
from galaxy_kernel.cli.doctor import doctor

Backend = Callable[..., Any]
SECRET = "mR1zQv7bJ0k3xW9dYtLfH5uPc2NgAe8sKqTn4VwXyZo6BiCj"
NOWHERE = "postgres://u:hunter2@127.0.0.1:1/none"
QUIET = {"BACKEND_OTEL_TRACES_EXPORTER": "none", "BACKEND_OTEL_METRICS_EXPORTER": "none"}


def free() -> str:
    """Return an address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def examined(backend: Backend, *arguments: str, **environment: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the status, and by check its state and detail; of several findings of a check the worst."""
    done = backend(doctor, "--json", *arguments, **{"BACKEND_HTTP_LISTEN_ADDR": free(), **QUIET, **environment})
    assert done.stderr == ""
    order = ("ok", "skipped", "warning", "failed")
    rows = sorted(done.json, key=lambda row: order.index(row["state"]))
    return done.status, {row["check"]: (row["state"], row["detail"]) for row in rows}


@pytest.fixture
def deployment(backend: Backend, empty_database: str) -> dict[str, str]:
    """Return the variables of a deployment in order."""
    environment = {"BACKEND_SECRET_KEY": SECRET, "BACKEND_POSTGRES_DSN": empty_database}
    assert backend(migrate, **environment).status == 0
    return environment


def execute(dsn: str, *statements: str) -> None:
    """Run statements as the owner."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


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


def test_a_deployment_in_order(backend: Backend, deployment: dict[str, str]) -> None:
    """Every check is ok, but the service that does not run here, which is not a fault, and the tests' own server."""
    status, found = examined(backend, **deployment)
    assert status == 0
    assert {check: state for check, (state, _) in found.items()} == {
        "python": "ok",
        "distributions": "ok",
        "plugins": "ok",
        "configuration": "ok",
        "secret key": "ok",
        "open files": "ok",
        "telemetry": "ok",
        "service": "skipped",
        "HTTP listener": "ok",
        "exposure": "ok",
        "postgres": "ok",
        "writes": "ok",
        "durability": "warning",
        "connections": "ok",
        "clock": "ok",
        "transactions": "ok",
        "privileges": "ok",
        "schema of kernel": "ok",
    }
    assert found["plugins"][1] == "lamp, bench"
    assert "PostgreSQL" in found["postgres"][1]


def test_a_set_that_cannot_stand_ends_the_look(backend: Backend) -> None:
    """Without plugins nothing else can be told."""
    status, found = examined(backend, BACKEND_PLUGINS_DISABLED="lamp")
    assert status == 1
    assert set(found) == {"python", "distributions", "plugins"}
    assert found["plugins"][0] == "failed"
    assert "'bench' requires 'lamp.light'" in found["plugins"][1]


def test_what_is_not_set_is_named_and_postgres_is_passed_over(backend: Backend) -> None:
    """Each fault is a finding; the database is not asked with half of the settings."""
    done = backend(doctor, "--json", BACKEND_HTTP_LISTEN_ADDR=free(), **QUIET)
    details = [row["detail"] for row in done.json if (row["check"], row["state"]) == ("configuration", "failed")]
    assert done.status == 1
    assert sorted(detail.partition(":")[0] for detail in details) == ["BACKEND_POSTGRES_DSN", "BACKEND_SECRET_KEY"]
    assert [row["state"] for row in done.json if row["check"] == "postgres"] == ["skipped"]


def test_warnings_are_findings_that_do_not_fail(backend: Backend, deployment: dict[str, str]) -> None:
    """An unknown variable that is let pass is shown."""
    status, found = examined(backend, BACKEND_LAMP_WATS="1", BACKEND_CONFIG_STRICT="false", **deployment)
    assert status == 0
    assert found["configuration"][0] == "warning" and "BACKEND_LAMP_WATS" in found["configuration"][1]


def test_a_database_that_is_not_there(backend: Backend) -> None:
    """It says so without the password, and still looks for the service."""
    status, found = examined(backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=NOWHERE)
    assert status == 1
    assert found["postgres"][0] == "failed"
    assert "hunter2" not in str(found)
    assert found["service"][0] == "skipped"


def with_role(dsn: str) -> str:
    """Return the DSN for a role that may use the schema and read nothing in it."""
    execute(dsn, "CREATE ROLE doctor LOGIN PASSWORD 'x'", "GRANT USAGE ON SCHEMA backend TO doctor")
    return other(dsn, netloc="doctor:x@{host}:{port}")


def other(dsn: str, **parts: str) -> str:
    """Return a DSN with other parts."""
    found = urlsplit(dsn)
    given = {name: part.format(host=found.hostname, port=found.port) for name, part in parts.items()}
    return urlunsplit(found._replace(**given))


def readable(tmp_path: Path) -> str:
    """Return a file of variables that everybody can read."""
    path = tmp_path / ".env"
    path.write_text("")
    path.chmod(0o644)
    return str(path)


Seed = Callable[[dict[str, str], Path], dict[str, str]]
DSN, KEY, TOKEN = "BACKEND_POSTGRES_DSN", "BACKEND_SECRET_KEY", "BACKEND_GATEWAY_TOKEN"
SEEDS: dict[str, tuple[Seed, str, str, str]] = {
    "password": (
        lambda env, _: {DSN: other(env[DSN], netloc="galaxy:hunter2@{host}:{port}")},
        *("postgres", "failed", "the user name or the password in BACKEND_POSTGRES_DSN is wrong"),
    ),
    "user": (
        lambda env, _: {DSN: other(env[DSN], netloc="nobody:hunter2@{host}:{port}")},
        *("postgres", "failed", "the user name or the password in BACKEND_POSTGRES_DSN is wrong"),
    ),
    "host": (
        lambda env, _: {DSN: other(env[DSN], netloc="u:hunter2@no-such-host.invalid:{port}")},
        *("postgres", "failed", "does not resolve"),
    ),
    "port": (
        lambda env, _: {DSN: other(env[DSN], netloc="u:hunter2@{host}:1")},
        *("postgres", "failed", "nothing listens there"),
    ),
    "database": (
        lambda env, _: {DSN: other(env[DSN], path="/nowhere")},
        *("postgres", "failed", "create it with CREATE DATABASE"),
    ),
    "tls": (lambda env, _: {DSN: f"{env[DSN]}?sslmode=require"}, "postgres", "failed", "must agree on TLS"),
    "DSN": (lambda *_: {DSN: "mysql://x"}, "configuration", "failed", "must begin with postgres://"),
    "role": (lambda env, _: {DSN: with_role(env[DSN])}, "privileges", "failed", "GRANT SELECT, INSERT, UPDATE, DELETE"),
    "read-only": (
        lambda env, _: read_only(env[DSN]),
        *("writes", "failed", "RESET default_transaction_read_only"),
    ),
    "empty": (
        lambda env, _: dropped(env[DSN], "DROP SCHEMA backend CASCADE"),
        *("schema", "warning", "`backend migrate` or `backend serve` fills it"),
    ),
    "pool": (lambda *_: {"BACKEND_POSTGRES_POOL_SIZE": "200"}, "connections", "failed", "BACKEND_POSTGRES_POOL_SIZE"),
    "encoding": (lambda env, _: latin(env[DSN]), "postgres", "failed", "the database's encoding is LATIN1"),
    "orphan": (
        lambda env, _: dropped(
            env[DSN],
            "CREATE TABLE backend.alembic_version_chess AS SELECT text 'chess_0001' AS version_num",
        ),
        *("schema of chess", "warning", "backend purge chess"),
    ),
    "weak key": (lambda *_: {KEY: "change-me" + SECRET}, "secret key", "warning", "openssl rand -base64 48"),
    "short key": (lambda *_: {KEY: "short"}, "configuration", "failed", "at least 32 bytes"),
    "weak token": (lambda *_: {TOKEN: SECRET[:16] * 3}, "gateway token", "warning", "repeats itself"),
    "one secret": (lambda *_: {TOKEN: SECRET}, "gateway token", "failed", "is the secret key"),
    "env file": (
        lambda _, path: {"BACKEND_ENV_FILE": readable(path)},
        *("env file", "warning", "chmod 600"),
    ),
    "no env file": (
        lambda *_: {"BACKEND_ENV_FILE": "/no/such/file"},
        *("plugins", "failed", "expected a readable file"),
    ),
    "collector": (
        lambda *_: {"BACKEND_OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{free()}"},
        *("telemetry", "warning", "no collector listens"),
    ),
    "exposed": (
        lambda *_: {"BACKEND_HTTP_LISTEN_ADDR": f"0.0.0.0:{free().rpartition(':')[2]}"},
        *("exposure", "warning", "BACKEND_ADMIN_NETWORKS"),
    ),
    "address": (
        lambda *_: {"BACKEND_HTTP_LISTEN_ADDR": "192.0.2.1:8080"},
        *("HTTP listener", "failed", "choose an address of this machine"),
    ),
    "misspelt": (lambda *_: {"BACKEND_LAMP_WATS": "1"}, "configuration", "failed", "BACKEND_LAMP_WATTS"),
    "value": (lambda *_: {"BACKEND_LAMP_WATTS": "bright"}, "configuration", "failed", "BACKEND_LAMP_WATTS: expected"),
    "disabled": (lambda *_: {"BACKEND_PLUGINS_DISABLED": "lamp"}, "plugins", "failed", "requires 'lamp.light'"),
    "proxies": (
        lambda *_: {"BACKEND_TRUSTED_PROXIES": "0.0.0.0/0"},
        *("configuration", "warning", "everybody there chooses their client address"),
    ),
}
"""What is done to a deployment in order; the check that finds it, its state, and what it says."""


def dropped(dsn: str, *statements: str) -> dict[str, str]:
    """Do something to the database; change no variable."""
    execute(dsn, *statements)
    return {}


def read_only(dsn: str) -> dict[str, str]:
    """Set the whole database to read-only."""
    return dropped(dsn, f"ALTER DATABASE {urlsplit(dsn).path[1:]} SET default_transaction_read_only = on")


def latin(dsn: str) -> dict[str, str]:
    """Return a database beside it whose encoding is not ours."""
    name = f"{urlsplit(dsn).path[1:]}_latin"
    execute(dsn, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    return {DSN: other(dsn, path=f"/{name}")}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeded_fault_is_found(backend: Backend, deployment: dict[str, str], tmp_path: Path, seed: str) -> None:
    """It is found by its check, which says what to do, and no password is shown."""
    change, check, state, says = SEEDS[seed]
    try:
        with pytest.MonkeyPatch.context() as patch:
            changed = deployment | change(deployment, tmp_path)
            if "OTEL_EXPORTER_OTLP_ENDPOINT" in changed:
                patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", changed.pop("OTEL_EXPORTER_OTLP_ENDPOINT"))
            status, found = examined(backend, **changed)
        assert found[check][0] == state, found
        assert says in found[check][1]
        assert status == (1 if state == "failed" else 0)
        assert "hunter2" not in str(found) and SECRET not in str(found)
    finally:
        if seed == "role":
            execute(deployment[DSN], "DROP OWNED BY doctor", "DROP ROLE doctor")
        if seed == "encoding":
            execute(deployment[DSN], f"DROP DATABASE {urlsplit(deployment[DSN]).path[1:]}_latin WITH (FORCE)")


@pytest.mark.parametrize(("hours", "state"), [(-1, "warning"), (0, "ok"), (1, "warning")])
def test_a_clock_that_is_off(
    backend: Backend, deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch, hours: int, state: str
) -> None:
    """Ahead of the database's or behind it, beyond what a round trip explains."""
    off = lambda clock: datetime.now(UTC) + timedelta(hours=hours)  # noqa: E731 # a method in place of another
    monkeypatch.setattr(SystemClock, "now", off)
    _, found = examined(backend, **deployment)
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
        (404, b"<html>", "skipped", ("none answers",)),
    ],
)
def test_the_service_that_runs_here_is_asked(
    backend: Backend, status: int, body: bytes, state: str, says: tuple[str, ...]
) -> None:
    """Its checks that are not well are shown; what is something else is not taken for it, and has its port."""
    with answering(status, body) as address:
        _, found = examined(
            backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=NOWHERE, BACKEND_HTTP_LISTEN_ADDR=address
        )
    assert found["service"][0] == state
    assert all(part in found["service"][1] for part in says)
    assert "feed" not in found["service"][1]
    assert found["HTTP listener"][0] == ("failed" if state == "skipped" else "ok")


async def look() -> list[Finding]:
    """Find something."""
    return [Finding("bulb", "failed", "is broken: replace it")]


async def fail() -> list[Finding]:
    """Find nothing."""
    raise RuntimeError("out of oil")


@pytest.mark.parametrize(
    ("check", "state", "says"),
    [
        (DoctorCheck("bulb", look), "failed", "is broken: replace it"),
        (DoctorCheck("bulb", look, needs="database"), "failed", "is broken: replace it"),
        (DoctorCheck("bulb", fail), "failed", "report it: RuntimeError: out of oil"),
        (DoctorCheck("bulb", fail, needs="database"), "failed", "report it: RuntimeError: out of oil"),
    ],
)
def test_checks_of_plugins(
    backend: Backend, deployment: dict[str, str], lamp: Any, check: DoctorCheck, state: str, says: str
) -> None:
    """What they find stands under the plugin's name, and what they raise too."""
    lamp.backend_doctor = lambda self: [check]
    _, found = examined(backend, **deployment)
    assert found["lamp: bulb"][0] == state
    assert says in found["lamp: bulb"][1]


def test_checks_of_plugins_without_their_database(backend: Backend, lamp: Any) -> None:
    """Those that need it are skipped, the others are made."""
    lamp.backend_doctor = lambda self: [DoctorCheck("bulb", look), DoctorCheck("wire", look, needs="database")]
    _, found = examined(backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=NOWHERE)
    assert (found["lamp: bulb"][0], found["lamp: wire"][0]) == ("failed", "skipped")


def test_a_hook_that_fails_is_a_finding(backend: Backend, lamp: Any) -> None:
    """Its plugin is named, and the look goes on."""

    def broken(self: object) -> list[DoctorCheck]:
        raise RuntimeError("out of oil")

    lamp.backend_doctor = broken
    _, found = examined(backend, BACKEND_SECRET_KEY=SECRET, BACKEND_POSTGRES_DSN=NOWHERE)
    assert found["checks of lamp"][0] == "failed"
    assert "plugin 'lamp' failed in backend_doctor: RuntimeError: out of oil" in found["checks of lamp"][1]
    assert "postgres" in found


def test_an_option_of_no_plugin_is_a_finding(backend: Backend) -> None:
    """A test mail that nobody sends is not passed over."""
    _, found = examined(backend, "--send-test-mail", "a@example.org")
    assert found["send-test-mail"][0] == "failed"


def test_an_error_that_nobody_expects(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a fault of its own is a finding, with its place."""

    def broken() -> None:
        raise ZeroDivisionError("of the doctor")

    monkeypatch.setattr(under_test, "assemble", broken)
    _, found = examined(backend)
    assert found["plugins"][0] == "failed" and "test_doctor.py:" in found["plugins"][1]
