"""`backend new-plugin`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from galaxy_devkit.scaffold.files import write
from galaxy_devkit.scaffold.names import PluginNameError, check_name

NEXT = """{folder} is a plugin that works. Next:

    cd {folder}
    python -m pip install --group dev --editable .      # pip 25.1 or later, in a virtual environment
    python -m pytest
    backend dev

docs/writing-a-plugin.md explains its parts.
"""


def new_plugin(
    name: Annotated[str, typer.Argument(help="Lower-case letters and digits, for example 'notes'.")],
    into: Annotated[Path, typer.Option(help="The folder in which the plugin's own is made.")] = Path(),
) -> None:
    """Write a new plugin that works: settings, table, cache, routes, worker, command, tests."""
    try:
        check_name(name)
    except PluginNameError as error:
        raise typer.BadParameter(f"{name!r} {error}", param_hint="NAME") from None
    try:
        folder = write(name, into)
    except OSError as error:
        sys.stderr.write(f"backend new-plugin: {error}\n")
        raise typer.Exit(1) from None
    sys.stdout.write(NEXT.format(folder=folder))
