"""Read-only commands: `config`, `plugins`, `routes`, `openapi`. They need no database."""

import json
import sys
from typing import Annotated, Any

import typer

from galaxy_chassis.cli import AsJson, print_rows
from galaxy_kernel.core.assembly import Assembly, assemble, describe_routes
from galaxy_kernel.core.discovery import InstalledPlugin
from galaxy_kernel.http import openapi
from galaxy_kernel.http.route import Route


def config(
    as_json: AsJson = False,
    command: Annotated[
        str, typer.Option("--for", help="Also report missing settings that this command requires, for example serve.")
    ] = "config",
) -> None:
    """Show the configuration; status 78 when it has faults, which go to stderr."""
    assembly = assemble()
    print_rows(
        assembly.configuration.table(), ("variable", "value", "source", "default", "type", "plugin"), as_json=as_json
    )
    for warning in assembly.configuration.warnings:
        sys.stderr.write(f"backend: warning: {warning}\n")
    assembly.configuration.check(command)


def plugins(as_json: AsJson = False) -> None:
    """Show the plugins."""
    assembly = assemble()
    rows = [_plugin(found, "enabled") for found in assembly.found]
    rows += [_plugin(found, "disabled") for found in assembly.disabled]
    print_rows(rows, ("name", "state", "version", "provides", "requires", "uses", "summary"), as_json=as_json)


def _plugin(found: InstalledPlugin, state: str) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "name": found.name,
        "state": state,
        "distribution": found.distribution,
        "version": found.version,
        "summary": manifest.summary,
        "provides": [capability.name for capability in manifest.provides],
        "requires": [capability.name for capability in manifest.requires],
        "uses": [capability.name for capability in manifest.uses],
    }


def routes(as_json: AsJson = False) -> None:
    """Show the routes."""
    rows = [_route(plugin, route) for plugin, route in _routes(assemble())]
    rows.sort(key=lambda row: (row["path"], row["method"]))
    print_rows(rows, ("method", "path", "access", "plugin", "summary"), as_json=as_json)


def _route(plugin: str, route: Route) -> dict[str, Any]:
    return {
        "method": route.method,
        "path": route.path,
        "access": route.access,
        "plugin": plugin,
        "name": route.name,
        "summary": route.summary,
    }


def _routes(assembly: Assembly) -> list[tuple[str, Route]]:
    return describe_routes(assembly)


def print_openapi() -> None:
    """Print the API's description."""
    sys.stdout.write(json.dumps(openapi.build(_routes(assemble())), indent=2) + "\n")
