"""`backend serve` and `backend dev`."""

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from galaxy_kernel.assembly import KERNEL, assemble
from galaxy_kernel.collector import settle
from galaxy_kernel.logs import configure_logging, flush, get_logger, install_crash_dumps


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve", help="Run the backend until SIGTERM.")(serve)
    app.command("dev", help="Run everything on this machine, embedded: Postgres, a mail page, the backend.")(dev)


def serve() -> None:
    """Run the backend in this process."""
    from galaxy_kernel.lifecycle import Kernel  # noqa: PLC0415 - the other commands start faster without it

    assembly = assemble()
    assembly.configuration.check("serve")
    settings = assembly.kernel_settings
    configure_logging(settings.log_level)
    install_crash_dumps(flush)
    for warning in assembly.configuration.warnings:
        get_logger("galaxy_kernel.config", plugin=KERNEL).warning("configuration_warning", fault=str(warning))
    try:
        status = uvloop.run(Kernel(assembly).serve(lambda _: settle()))
    finally:
        flush()
    raise typer.Exit(status)


def dev(
    data: Annotated[Path, typer.Option(help="Where everything is kept between runs.")] = Path(".galaxy"),
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log JSON lines instead of lines for people.")] = False,
    any_ports: Annotated[bool, typer.Option("--any-ports", help="Take free ports instead of the usual ones.")] = False,
) -> None:
    """Run everything on this machine."""
    from galaxy_kernel.dev import run_dev  # noqa: PLC0415 - what it embeds is an extra that production does not install

    raise typer.Exit(uvloop.run(run_dev(data, json_logs=json_logs, any_ports=any_ports)))
