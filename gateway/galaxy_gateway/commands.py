"""The commands `gateway serve`, `gateway config` and `gateway doctor`."""

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated

import typer
import uvloop

from galaxy_chassis.cli import AsJson, print_rows, version_shown
from galaxy_chassis.gc_tuning import freeze
from galaxy_chassis.logs import configure_logging, flush, get_logger, install_crash_dumps
from galaxy_gateway.doctor import examine
from galaxy_gateway.gateway import Gateway, configure
from galaxy_gateway.settings import GATEWAY, GatewaySettings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="The gateway of Galaxy Backend: the only thing that clients reach.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            is_eager=True,
            callback=version_shown(GATEWAY, "galaxy-backend-gateway"),
        ),
    ] = False,
) -> None:
    """Do nothing else: options of the program itself stand here."""


@app.command()
def serve() -> None:
    """Run the gateway until SIGTERM."""
    configuration = configure()
    configuration.check("serve")
    configure_logging(configuration.settings_of(GATEWAY, GatewaySettings).log_level, process=GATEWAY)
    install_crash_dumps(flush)
    for warning in configuration.warnings:
        get_logger("galaxy_gateway.cli", plugin=GATEWAY).warning("configuration_fault_ignored", fault=str(warning))

    async def run() -> int:
        return await Gateway(configuration).serve(lambda _: freeze())

    try:
        status = uvloop.run(run())
    finally:
        flush()
    raise typer.Exit(status)


@app.command()
def config(as_json: AsJson = False) -> None:
    """Show every setting: value, source, default. Secrets are not shown."""
    configuration = configure()
    print_rows(configuration.table(), ("variable", "value", "source", "default", "type"), as_json=as_json)
    for warning in configuration.warnings:
        sys.stderr.write(f"{GATEWAY}: warning: {warning}\n")
    configuration.check("config")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look for what is wrong: settings, backends, live events, Redis, certificate; status 1 when something is."""
    configure_logging("error", stream=sys.stderr, process=GATEWAY)  # what is wrong is a finding
    findings = asyncio.run(examine())
    flush()
    print_rows([asdict(finding) for finding in findings], ("check", "state", "detail"), as_json=as_json)
    raise typer.Exit(1 if any(finding.state == "failed" for finding in findings) else 0)
