"""Starts everything in order, and stops it in reverse."""

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from galaxy_chassis.errors import BootError
from galaxy_chassis.logs import configure_logging, flush, get_logger
from galaxy_chassis.process import handle_stop_signals
from galaxy_contracts.push import PUSH
from galaxy_devkit.dev import edge
from galaxy_devkit.dev.banner import Banner, filled, wants_colours
from galaxy_devkit.dev.home import Home, opened
from galaxy_devkit.dev.ports import HOST, Ports
from galaxy_devkit.postgres.server import EmbeddedPostgres, EmbeddedPostgresError
from galaxy_kernel.core.assembly import KERNEL, Assembly, assemble
from galaxy_kernel.core.companions import Companion, CompanionRun
from galaxy_kernel.core.discovery import InstalledPlugin
from galaxy_kernel.core.kernel import Kernel
from galaxy_kernel.errors import PhaseError

HTTP_PORT, PUSH_PORT = 8080, 8081
_DATABASE = "postgres"
_SCHEMA = "backend"
_ADMIN = "admin"
_QUIET = {"BACKEND_OTEL_TRACES_EXPORTER": "none", "BACKEND_OTEL_METRICS_EXPORTER": "none"}
_LISTEN, _PUSH = "BACKEND_HTTP_LISTEN_ADDR", "BACKEND_PUSH_LISTEN_ADDR"
_API = "{api}"
_ANYWHERE = {"": HOST, "0.0.0.0": HOST, "[::]": "[::1]"}  # noqa: S104  shown, not listened on


async def run_dev(data: Path, *, json_logs: bool = False, any_ports: bool = False) -> int:
    """Run everything until Ctrl-C or SIGTERM, and return the exit status. Raise BootError when it cannot start.

    `data` is kept between runs. `any_ports` uses free ports in place of the usual ones. Variables of the environment or
    the env file have precedence over what is chosen here.
    """
    status = 0
    interruption = asyncio.Event()
    _be_interrupted_by(interruption)
    try:
        async with AsyncExitStack() as stack:
            home = stack.enter_context(opened(data))
            status = await _Dev(home, Ports(any_port=any_ports), json_logs=json_logs).run(stack)
    except asyncio.CancelledError:
        if not interruption.is_set():
            raise
    except EmbeddedPostgresError as error:
        raise BootError(str(error)) from error
    return status


def _is_numeric(address: str) -> bool:
    """Return whether `HOST:PORT` names no host: what a name leads to, plugins cannot know."""
    try:
        ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True


def _be_interrupted_by(interruption: asyncio.Event) -> None:
    """Cancel the current task at the first signal, until the kernel takes the signals over."""
    task = asyncio.current_task()

    def interrupt() -> None:
        if task is not None:
            task.cancel()

    handle_stop_signals(interruption, interrupt)


@dataclass
class _Dev:
    """One run."""

    home: Home
    ports: Ports
    json_logs: bool
    overlay: dict[str, str] = field(default_factory=lambda: dict(_QUIET))
    """Variables for the backend; those that the user has set have precedence."""
    companions: list[tuple[Companion, CompanionRun]] = field(default_factory=list)
    database: str = "the one in BACKEND_POSTGRES_DSN"
    gateway: str | None = None
    """Where the gateway listens, `HOST:PORT`; None where there is none."""

    async def run(self, stack: AsyncExitStack) -> int:
        first = assemble(overlay=self.overlay)
        first.configuration.check("dev")  # faults known now are reported before anything is started
        logging = configure_logging(first.kernel_settings.log_level, pretty=not self.json_logs)
        stack.callback(logging.flush)
        self._keep_secrets(first)
        if "BACKEND_POSTGRES_DSN" not in first.configuration.raw:
            await self._start_postgres(stack)
        for found in first.found:
            for companion in found.manifest.companions:
                await self._start_companion(stack, found, companion)
        self._choose_addresses(first)
        self._set_variables_of_plugins(first)
        assembly = assemble(overlay=self.overlay)
        for warning in assembly.configuration.warnings:
            get_logger("galaxy_devkit.dev", plugin=KERNEL).warning("configuration_fault_ignored", fault=str(warning))

        async def ready(kernel: Kernel) -> None:
            await self._start_gateway(stack, kernel)
            self._greet(kernel)

        return await Kernel(assembly).serve(ready)

    def _keep_secrets(self, first: Assembly) -> None:
        self.overlay |= {
            "BACKEND_SECRET_KEY": self.home.secret("secret_key"),
            "BACKEND_GATEWAY_TOKEN": self.home.secret("gateway_token"),
        }
        known = {variable.name for variable in first.configuration.variables}
        if "BACKEND_ADMIN_BOOTSTRAP_PASSWORD" in known and not self._admin_is_set(first.configuration.raw):
            self.overlay |= {
                "BACKEND_ADMIN_BOOTSTRAP_USER": _ADMIN,
                "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": self.home.secret("admin_password", 12),
            }

    @staticmethod
    def _admin_is_set(raw: Mapping[str, object]) -> bool:
        return any(name.startswith("BACKEND_ADMIN_BOOTSTRAP_") for name in raw)

    async def _start_postgres(self, stack: AsyncExitStack) -> None:
        kept = self.home.postgres_port
        port = self.ports.choose(kept, "Postgres", kept=True) if kept else 0
        postgres = await stack.enter_async_context(EmbeddedPostgres(self.home.postgres, port=port))
        self.home.keep_postgres_port(postgres.port)
        self.overlay["BACKEND_POSTGRES_DSN"] = postgres.dsn(_DATABASE, search_path=_SCHEMA)
        password = shlex.quote(str(self.home.postgres / "password"))
        login = f"-h {HOST} -p {postgres.port} -U galaxy {_DATABASE}"
        self.database = f"PGPASSWORD=$(cat {password}) PGOPTIONS=-csearch_path={_SCHEMA} psql {login}"

    async def _start_companion(self, stack: AsyncExitStack, found: InstalledPlugin, companion: Companion) -> None:
        who = f"its companion {companion.name!r} for `backend dev`"
        ports = {
            label: self.ports.choose(preferred, f"{companion.name} ({label})")
            for label, preferred in companion.ports.items()
        }
        try:
            run = await stack.enter_async_context(companion.run(ports, str(self.home.companion(companion.name))))
        except ImportError as error:
            remedy = f"install what it needs: pip install '{found.distribution}[dev]'"
            raise BootError(f"plugin {found.name!r}: {who} cannot be imported ({error}): {remedy}") from error
        except Exception as error:
            raise PhaseError(found.name, who, error) from error
        self.overlay |= run.environment
        self.companions.append((companion, run))

    def _choose_addresses(self, first: Assembly) -> None:
        """Choose where the backend listens; late, so that a port that is free now is still free a moment later."""
        for variable, preferred, what in (
            (_LISTEN, HTTP_PORT, "the API"),
            (_PUSH, PUSH_PORT, "gRPC"),
        ):
            if variable not in first.configuration.raw:
                self.overlay[variable] = f"{HOST}:{self.ports.choose(preferred, what)}"
        if edge.is_installed() and any(PUSH in found.manifest.provides for found in first.found):
            self.gateway = os.environ.get(edge.LISTEN) or f"{HOST}:{self.ports.choose(edge.PORT, 'the gateway')}"

    async def _start_gateway(self, stack: AsyncExitStack, kernel: Kernel) -> None:
        """Start the gateway, where it is installed; it stops after the backend."""
        if self.gateway is None or kernel.rpc is None:
            return
        token = kernel.assembly.kernel_settings.token or ""
        variables = edge.environment(self.gateway, _url_of(kernel.http.address), kernel.rpc.address, token)
        self.gateway = await stack.enter_async_context(edge.running(variables))

    def _set_variables_of_plugins(self, first: Assembly) -> None:
        """Set what the manifests name, but for what needs the API's URL where its port is not known yet."""
        raw = first.configuration.raw
        address = self.gateway or (raw[_LISTEN].text if _LISTEN in raw else self.overlay[_LISTEN])
        url = _url_of(address) if not address.endswith(":0") and _is_numeric(address) else None
        for found in first.found:
            for name, value in found.manifest.dev_environment.items():
                if _API not in value:
                    self.overlay[name] = value
                elif url is not None:
                    self.overlay[name] = value.replace(_API, url)

    def _greet(self, kernel: Kernel) -> None:
        kernel.http.links.extend(self._pages())
        stream = sys.stderr if self.json_logs else sys.stdout
        flush()
        stream.write(self._banner(kernel).render(colours=wants_colours(stream)))
        stream.flush()

    def _pages(self) -> list[tuple[str, str]]:
        """Return the companions' pages, for the links at the backend's `/`."""
        return [address for _, run in self.companions for address in run.addresses if address[1].startswith("http")]

    def _banner(self, kernel: Kernel) -> Banner:
        backend = _url_of(kernel.http.address)
        addresses = [("API" if self.gateway is None else "Backend", backend), ("API docs", f"{backend}/docs")]
        if self.gateway is not None:
            addresses.insert(0, ("Gateway", _url_of(self.gateway)))
        addresses += [address for _, run in self.companions for address in run.addresses]
        if kernel.rpc is not None:
            addresses.append(("gRPC", kernel.assembly.kernel_settings.push_listen_addr))
        addresses.append(("Database", self.database))
        if "BACKEND_ADMIN_BOOTSTRAP_PASSWORD" in self.overlay:
            password = self.overlay["BACKEND_ADMIN_BOOTSTRAP_PASSWORD"]
            addresses.append(("Operator", _operator(password, changed=_has_changed_password(kernel.assembly))))
        addresses.append(("Data", str(self.home.folder)))
        places = {"api": addresses[0][1]} | {
            companion.name: run.addresses[0][1] for companion, run in self.companions if run.addresses
        }
        examples = [example for found in kernel.assembly.found for example in found.manifest.examples]
        page = _url_of(self.gateway) if self.gateway is not None and edge.has_page() else None
        return Banner(addresses, self.ports.notes, filled(examples, places), page)


def _url_of(address: str) -> str:
    """Return the URL at which this machine reaches what listens on an address."""
    host, _, port = address.rpartition(":")
    return f"http://{_ANYWHERE.get(host, host)}:{port}"


def _has_changed_password(assembly: Assembly) -> bool:
    """Return whether the first admin has another password than the one they were given, by the cache of accounts."""
    for _, caches in assembly.plugins.call("backend_caches", only=_ADMIN):
        for cache in caches:
            account = cache.get(_ADMIN)
            return account is None or not account.must_rotate
    return False


def _operator(password: str, *, changed: bool) -> str:
    if changed:
        return f"{_ADMIN} / the password that you have set (`backend admin reset-password {_ADMIN}` makes a new one)"
    return f"{_ADMIN} / {password} (until its first change, which is demanded)"
