"""The root of the command line, and the commands that plugins add."""

import os
import sys
from typing import Any

import typer

from galaxy_kernel.assembly import assemble
from galaxy_kernel.cli import database, inspection, running
from galaxy_kernel.cli.output import complain
from galaxy_kernel.errors import BootError, PhaseError

_COMPLETION = "_BACKEND_COMPLETE"
"""Set by the shell while it asks for completions."""


def main() -> None:
    """Run `backend`."""
    try:
        _app(sys.argv[1:])(prog_name="backend")
    except BootError as error:
        complain(error)
        sys.exit(error.status)


def _app(arguments: list[str]) -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Galaxy Backend: hosts turn-based games that run for weeks.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for commands in (running, inspection, database):
        commands.add_to(app)
    builtin = {command.name for command in app.registered_commands}
    first = next((argument for argument in arguments if not argument.startswith("-")), None)
    if first not in builtin or _COMPLETION in os.environ:
        _add_plugins(app)
    return app


def _add_plugins(app: typer.Typer) -> None:
    """Add `backend <plugin>` for each plugin with commands; one that fails costs only its own."""
    try:
        assembly = assemble()
    except BootError as error:
        sys.stderr.write(f"backend: the plugins' commands are absent: {error}\n")
        return
    for name in assembly.plugins.names:
        try:
            found: list[tuple[str, Any]] = list(assembly.plugins.call("backend_commands", only=name))
        except PhaseError as error:
            sys.stderr.write(f"backend: the commands of plugin {name!r} are absent: {error}\n")
            continue
        for _, commands in found:
            app.add_typer(commands, name=name)
