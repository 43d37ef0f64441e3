"""`backend serve`: what is done before the kernel runs, and around it."""

import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from galaxy_chassis import logs
from galaxy_chassis.errors import BootError
from galaxy_kernel.cli import running
from galaxy_kernel.cli.running import serve

Backend = Callable[..., Any]
ENVIRONMENT = {
    "BACKEND_SECRET_KEY": "a secret key for tests, of more than 32 bytes",
    "BACKEND_POSTGRES_DSN": "postgres://nobody@127.0.0.1:1/none",
}


class Kernel:
    """A kernel that is ready at once, and ends with a status."""

    status: Any = 0
    seen: list[str] = []  # noqa: RUF012 - cleared by the fixture

    def __init__(self, assembly: Any) -> None:
        self.seen.append("made with " + ",".join(assembly.plugins.names))

    async def serve(self, on_ready: Callable[[Any], Awaitable[None]]) -> int:
        await on_ready(self)
        logs.get_logger("x").info("served")
        if isinstance(self.status, Exception):
            raise self.status
        return int(self.status)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the kernel of the test in place, and the process's logging and collector back."""
    monkeypatch.setattr(running, "Kernel", Kernel)
    monkeypatch.setattr(running, "install_crash_dumps", lambda flush: Kernel.seen.append("crash dumps"))
    monkeypatch.setattr(Kernel, "seen", [])
    monkeypatch.setattr(Kernel, "status", 0)
    yield
    if logs._active is not None:
        logs._active.close()
    gc.unfreeze()


@pytest.mark.parametrize("status", [0, 3])
def test_the_status_is_the_kernels(backend: Backend, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Lines are JSON, and written before the process ends."""
    monkeypatch.setattr(Kernel, "status", status)
    done = backend(serve, **ENVIRONMENT)
    assert (done.status, done.stderr) == (status, "")
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["served"]
    assert Kernel.seen == ["crash dumps", "made with lamp,bench"]


def test_what_lives_when_it_is_ready_is_frozen(backend: Backend) -> None:
    """The collector spares it from then on."""
    gc.unfreeze()
    backend(serve, **ENVIRONMENT)
    assert gc.get_freeze_count() > 0


def test_settings_are_checked_before_anything_is_made(backend: Backend) -> None:
    """Every missing one is named, and no log line is written."""
    done = backend(serve)
    assert (done.status, done.stdout, Kernel.seen) == (78, "", [])
    assert all(name in done.stderr for name in ENVIRONMENT)


def test_warnings_of_the_configuration_are_logged(backend: Backend) -> None:
    """An unknown variable that is let pass shows in the log of every start."""
    done = backend(serve, BACKEND_LAMP_WATS="1", BACKEND_CONFIG_STRICT="false", **ENVIRONMENT)
    first = json.loads(done.stdout.splitlines()[0])
    assert first["level"] == "warning"
    assert "BACKEND_LAMP_WATS" in first["fault"]


def test_the_log_level_is_the_settings(backend: Backend) -> None:
    """Lines below it are not written."""
    assert backend(serve, BACKEND_LOG_LEVEL="error", **ENVIRONMENT).stdout == ""


def test_a_boot_that_is_refused_leaves_its_lines(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was logged before is written, and the sentence goes to stderr."""
    monkeypatch.setattr(Kernel, "status", BootError("out of coal"))
    done = backend(serve, **ENVIRONMENT)
    assert (done.status, done.stderr) == (1, "backend: out of coal\n")
    assert "served" in done.stdout
