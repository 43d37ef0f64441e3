"""`backend doctor`: checks everything that a deployment depends on, and names the remedy for each fault."""

import asyncio
import json
import platform
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import typer
from sqlalchemy import text

from galaxy_chassis.cli import AsJson, print_rows
from galaxy_chassis.errors import BootError, ConfigurationError
from galaxy_kernel.core import schema
from galaxy_kernel.core.assembly import Assembly, assemble
from galaxy_kernel.core.offline import opened
from galaxy_kernel.database import Database
from galaxy_kernel.database.clock import MOST_SKEW, DatabaseClock
from galaxy_kernel.errors import PluginError
from galaxy_migrations.errors import MigrationError
from galaxy_migrations.states import check, orphans

_OLDEST_POSTGRES = 130_000
"""pg_current_xact_id() and pg_visible_in_snapshot() came with PostgreSQL 13."""

Finding = dict[str, Any]


def doctor(as_json: AsJson = False) -> None:
    """Look for what is wrong; status 1 when something is."""
    findings = asyncio.run(_examine())
    print_rows(findings, ("check", "state", "detail"), as_json=as_json)
    raise typer.Exit(1 if any(finding["state"] == "failed" for finding in findings) else 0)


def _finding(name: str, state: str, detail: str = "") -> Finding:
    return {"check": name, "state": state, "detail": detail}


async def _examine() -> list[Finding]:
    findings = [_python()]
    try:
        assembly = assemble()
    except (PluginError, ConfigurationError) as error:
        return [*findings, _finding("plugins", "failed", str(error))]
    findings.append(_finding("plugins", "ok", ", ".join(assembly.plugins.names) or "none installed"))
    faulty = _configuration(assembly)
    findings += faulty or [_finding("configuration", "ok", "nothing is missing for `backend serve`")]
    findings += [_finding("configuration", "warning", str(warning)) for warning in assembly.configuration.warnings]
    try:
        async with opened(assembly.configuration) as database:
            findings += [finding async for finding in _database(assembly, database)]
    except ConfigurationError:
        findings.append(_finding("postgres", "skipped", "see configuration"))
    except (BootError, MigrationError) as error:
        findings.append(_finding("postgres", "failed", str(error)))
    if not faulty:
        findings.append(await asyncio.to_thread(_service, assembly.kernel_settings.http_listen_addr))
    return findings


def _python() -> Finding:
    return _finding("python", "ok", f"{platform.python_version()} on {sys.platform}")


def _configuration(assembly: Assembly) -> list[Finding]:
    try:
        assembly.configuration.check("serve")
    except ConfigurationError as error:
        return [_finding("configuration", "failed", str(fault)) for fault in error.faults]
    return []


async def _database(assembly: Assembly, database: Database) -> AsyncIterator[Finding]:
    query, clock = text("SELECT current_setting('server_version_num')::int, version()"), DatabaseClock()
    await clock.ask(database)
    async with database.reading() as connection:
        number, version = (await connection.execute(query)).one()
    name = version.partition(" on ")[0]
    if number < _OLDEST_POSTGRES:
        yield _finding("postgres", "failed", f"{name}: needs PostgreSQL 13 or later")
    else:
        yield _finding("postgres", "ok", name)
    state = "ok" if abs(clock.skew) <= MOST_SKEW else "warning"
    detail = f"{abs(clock.skew):.1f} s from the database's"
    yield _finding("clock", state, detail + ("" if state == "ok" else ": check NTP"))
    found = schema.branches(assembly.plugins)
    for each in await check(database.engine, database.schema, found):
        yield _finding(f"schema of {each.plugin}", "ok" if each.runs else "failed", each.message)
    known = {branch.plugin for branch in found} | {each.name for each in assembly.disabled}
    for orphan in await orphans(database.engine, database.schema, known):
        yield _finding(f"schema of {orphan}", "warning", f"not installed: install it, or `backend purge {orphan}`")


def _service(address: str) -> Finding:
    """Check the service that runs here, if one does."""
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=3) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    except (OSError, ValueError):
        return _finding("service", "skipped", f"none answers at {address}")
    wrong = [  # a service that listens on a public address keeps the details to itself
        f"{each['name']} ({each['plugin']}): {each.get('detail') or each['state']}"
        for each in body["checks"]
        if each["state"] != "ok"
    ]
    state = "ok" if body["status"] == "ready" else "failed"
    return _finding("service", state, "; ".join(wrong) or f"ready at {address}")
