"""How commands print: tables for people, JSON for scripts."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from galaxy_chassis.errors import BootError, ConfigurationError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def version_shown(program: str, distribution: str) -> Callable[[bool], None]:
    """Return the callback of `--version`: it prints the version of a distribution and ends the command."""

    def show(wanted: bool) -> None:
        if wanted:
            sys.stdout.write(f"{program} {version(distribution)}\n")
            raise typer.Exit

    return show


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as a table of `columns`, or as JSON with every key."""
    if as_json:
        return print_json(list(rows))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, highlight=False).print(table)
    return None


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def complain(error: BootError, program: str = "backend") -> None:
    """Print the error of a command of `program` on stderr, one line for each fault."""
    if isinstance(error, ConfigurationError):
        sys.stderr.write(f"{program}: the configuration is refused:\n")
        for fault in error.faults:
            sys.stderr.write(f"  {fault}\n")
    else:
        sys.stderr.write(f"{program}: {error}\n")


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value) or "—"
    return str(value)
