"""`backend dev`."""

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from galaxy_devkit.dev.run import run_dev


def dev(
    data: Annotated[Path, typer.Option(help="Where everything is kept between runs.")] = Path(".galaxy"),
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log JSON lines instead of lines for people.")] = False,
    any_ports: Annotated[bool, typer.Option("--any-ports", help="Take free ports instead of the usual ones.")] = False,
) -> None:
    """Run everything on this machine, embedded: Postgres, a mail page, backend, gateway, engines."""
    raise typer.Exit(uvloop.run(run_dev(data, json_logs=json_logs, any_ports=any_ports)))
