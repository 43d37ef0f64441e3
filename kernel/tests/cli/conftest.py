"""`backend` run in this process, with plugins at hand in place of the installed ones."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import typer

from galaxy_chassis.cli import complain
from galaxy_chassis.errors import BootError
from galaxy_contracts.capability import Capability
from galaxy_kernel.api import Access, Context, Manifest, Model, NoSettings, Route, Settings
from galaxy_kernel.core import assembly
from galaxy_kernel.core.discovery import Discovery, InstalledPlugin

LIGHT: Capability[object] = Capability("lamp.light")


class LampSettings(Settings):
    """What a lamp is told."""

    watts: int = 40
    """How bright it burns."""


class Word(Model):
    """What the route answers."""

    word: str


class Lamp:
    """A plugin with a setting and a route."""

    manifest = Manifest(name="lamp", summary="Burns.", settings=LampSettings, provides=(LIGHT,))

    def __init__(self, context: Context[LampSettings]) -> None:
        self.context = context

    def backend_routes(self) -> list[Route]:
        async def burn() -> Word:
            return Word(word="bright")

        return [Route("GET", "/api/v1/public/lamp", burn, "lamp.burn", "Burn.", Access.PUBLIC)]


class Bench:
    """A plugin that requires the lamp's light; listed before it by its name."""

    manifest = Manifest(name="bench", summary="Stands.", requires=(LIGHT,))

    def __init__(self, context: Context[NoSettings]) -> None:
        self.context = context


@dataclass(frozen=True)
class Done:
    """The outcome of a command."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


Backend = Callable[..., Done]


@pytest.fixture
def lamp(monkeypatch: pytest.MonkeyPatch) -> type[Lamp]:
    """Return the lamp's class, for a test that gives it one hook more."""
    monkeypatch.setattr(Lamp, "backend_doctor", lambda self: [], raising=False)
    return Lamp


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Return what runs a command's function, with arguments and variables of the test's own alone."""

    def discover(off: tuple[str, ...] = ()) -> Discovery:
        found = [InstalledPlugin(one.manifest.name, f"galaxy-{one.manifest.name}", "1.0", one) for one in (Bench, Lamp)]
        on = tuple(each for each in found if each.name not in off)
        unknown = tuple(sorted(set(off) - {each.name for each in found}))
        return Discovery(on, tuple(each for each in found if each.name in off), (), unknown)

    monkeypatch.setattr(assembly, "discover", discover)

    def run(command: Callable[..., None], *arguments: str, answers: str = "", **environment: str) -> Done:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command()(command)
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            for name in list(os.environ):
                if name.startswith("BACKEND_"):
                    patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(answers))
            try:
                status = typer.main.get_command(app).main(list(arguments), prog_name="backend", standalone_mode=False)
            except BootError as error:  # as `main` does
                complain(error)
                status = error.status
            except (typer.Exit, SystemExit) as ended:
                status = getattr(ended, "exit_code", getattr(ended, "code", 0))
            except typer.Abort:
                status = 1
        return Done(int(status or 0), out.getvalue(), err.getvalue())

    return run
