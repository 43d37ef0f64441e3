"""`backend doctor`: checks everything that a deployment depends on, and names the remedy for each fault.

The kernel's own checks are in `checks`; plugins bring theirs by the hook `backend_doctor`. No check ends the others.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from galaxy_chassis.cli import AsJson, print_rows
from galaxy_chassis.doctor import DoctorCheck, Finding, examined, unexpected
from galaxy_chassis.errors import BootError, ConfigurationError
from galaxy_kernel.cli.checks import listeners, postgres, process, secrets
from galaxy_kernel.core import schema
from galaxy_kernel.core.assembly import Assembly, assemble
from galaxy_kernel.core.offline import opened, sharing
from galaxy_kernel.core.settings import KernelSettings
from galaxy_kernel.database import Database
from galaxy_kernel.errors import PhaseError, PluginError
from galaxy_migrations.branch import Branch

SEND_TEST_MAIL = "send-test-mail"

Contributed = Sequence[tuple[str, DoctorCheck]]


def doctor(
    as_json: AsJson = False,
    send_test_mail: Annotated[
        str, typer.Option(f"--{SEND_TEST_MAIL}", metavar="ADDRESS", help="Also send a mail there, by the relay.")
    ] = "",
) -> None:
    """Look for what is wrong; status 1 when something is."""
    findings = asyncio.run(_examine({SEND_TEST_MAIL: send_test_mail} if send_test_mail else {}))
    print_rows([asdict(finding) for finding in findings], ("check", "state", "detail"), as_json=as_json)
    raise typer.Exit(1 if any(finding.state == "failed" for finding in findings) else 0)


async def _examine(options: Mapping[str, str]) -> list[Finding]:
    findings = [*await examined("python", process.python), *await examined("distributions", process.installed)]
    try:
        assembly = assemble()
    except BootError as error:
        return [*findings, Finding("plugins", "failed", str(error))]
    except Exception as error:
        return [*findings, unexpected("plugins", error)]
    findings.append(Finding("plugins", "ok", ", ".join(assembly.plugins.names) or "none installed"))
    findings += _configuration(assembly)
    settings = _kernel_settings(assembly)
    if settings is not None:
        findings += await _here(assembly, settings)
    asked, faults = contributed(assembly, options)
    findings += faults
    findings += await with_settings(asked, options)
    return findings + await _postgres(assembly, asked, options)


def _configuration(assembly: Assembly) -> list[Finding]:
    warnings = [Finding("configuration", "warning", str(warning)) for warning in assembly.configuration.warnings]
    try:
        assembly.configuration.check("serve")
    except ConfigurationError as error:
        return [Finding("configuration", "failed", str(fault)) for fault in error.faults] + warnings
    return [Finding("configuration", "ok", "nothing is missing for `backend serve`"), *warnings]


def _kernel_settings(assembly: Assembly) -> KernelSettings | None:
    try:
        return assembly.kernel_settings
    except ConfigurationError:
        return None


async def _here(assembly: Assembly, settings: KernelSettings) -> list[Finding]:
    """Check what needs no database."""
    rpc = any(hasattr(found.factory, "backend_rpc") for found in assembly.found)
    findings = await examined("secret key", partial(secrets.check, settings))
    if settings.env_file is not None:
        findings += await examined("env file", partial(process.env_file, settings.env_file))
    findings += await examined("open files", partial(process.descriptors, settings))
    findings += await examined("telemetry", partial(listeners.collector, settings))
    if rpc and settings.token is None:
        told = "BACKEND_GATEWAY_TOKEN is not set: internal routes and gRPC are closed, and no gateway can connect"
        findings.append(Finding("gateway token", "warning", told))
    return findings + await examined("service", partial(listeners.check, settings, rpc=rpc))


def contributed(assembly: Assembly, options: Mapping[str, str]) -> tuple[Contributed, list[Finding]]:
    """Return the plugins' checks that the options ask for, and what is wrong with the plugins or the options."""
    found: list[tuple[str, DoctorCheck]] = []
    faults: list[Finding] = []
    for name in assembly.plugins.names:
        try:
            found += [
                (name, check) for _, checks in assembly.plugins.call("backend_doctor", only=name) for check in checks
            ]
        except ConfigurationError:
            faults.append(Finding(f"checks of {name}", "skipped", "see configuration"))
        except (PhaseError, PluginError) as error:
            faults.append(Finding(f"checks of {name}", "failed", str(error)))
    known = {check.option for _, check in found}
    faults += [Finding(name, "failed", f"no enabled plugin has --{name}") for name in options if name not in known]
    return [(name, check) for name, check in found if not check.option or check.option in options], faults


async def with_settings(asked: Contributed, options: Mapping[str, str]) -> list[Finding]:
    """Run the checks that need no database, at once: most of them wait for others."""
    own = [(name, check) for name, check in asked if check.needs == "settings"]
    found = await asyncio.gather(*(_run(name, check, options) for name, check in own))
    return [finding for each in found for finding in each]


async def _run(plugin: str, check: DoctorCheck, options: Mapping[str, str]) -> list[Finding]:
    async def run() -> Sequence[Finding]:
        arguments = (options[check.option],) if check.option else ()
        return await check.run(*arguments)

    return [Finding(f"{plugin}: {each.check}", each.state, each.detail) for each in await examined(check.name, run)]


async def _postgres(assembly: Assembly, asked: Contributed, options: Mapping[str, str]) -> list[Finding]:
    wanting = [(name, check) for name, check in asked if check.needs == "database"]
    findings: list[Finding] = []
    try:
        async with opened(assembly.configuration) as database:
            branches = schema.branches(assembly.plugins)
            findings += [each async for each in _database(assembly, database, branches)]
            if not any(each.state == "failed" or each.check == "schema" for each in findings):
                async with sharing(assembly.configuration, database, assembly.share):
                    for name, check in wanting:
                        findings += await _run(name, check, options)
                    return findings
    except ConfigurationError:
        findings.append(Finding("postgres", "skipped", "see configuration"))
    except BootError as error:
        findings.append(Finding("postgres", "failed", str(error)))
    except Exception as error:
        findings.append(unexpected("postgres", error))
    skipped = "needs the database, with its schema up to date"
    return findings + [Finding(f"{name}: {check.name}", "skipped", skipped) for name, check in wanting]


async def _database(assembly: Assembly, database: Database, branches: Sequence[Branch]) -> AsyncIterator[Finding]:
    settings, state = assembly.kernel_settings, await postgres.server(database)
    for finding in (state.version(), state.writable(), state.durable(), state.connections(settings)):
        yield finding
    disabled = {each.name for each in assembly.disabled}
    for name, run in {
        "clock": partial(postgres.clock, database),
        "transactions": partial(postgres.transactions, database),
        "privileges": partial(postgres.privileges, database, state, branches),
        "schema": partial(postgres.schema, database, settings, state, branches, disabled),
    }.items():
        for finding in await examined(name, run):
            yield finding
