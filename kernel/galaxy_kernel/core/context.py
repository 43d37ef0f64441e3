"""A plugin's view of its kernel, and what the kernel shares with all plugins."""

import hashlib
import hmac
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiohttp import ClientSession
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer
from structlog.typing import FilteringBoundLogger

from galaxy_chassis.clock import Clock
from galaxy_chassis.config.settings import Settings
from galaxy_chassis.http.client import HttpClient
from galaxy_contracts.capability import Capability
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.core.manifest import Manifest
from galaxy_kernel.database import Database
from galaxy_kernel.errors import CapabilityError
from galaxy_kernel.facts import Facts
from galaxy_kernel.wakeups import Wakeups

S = TypeVar("S", bound=Settings)
T = TypeVar("T")


@dataclass(frozen=True)
class KernelResources:
    """What one kernel shares with all of its plugins."""

    database: Database
    facts: Facts
    wakeups: Wakeups
    services: CapabilityRegistry
    clock: Clock
    random: random.Random
    """Cryptographically strong unless a test passes a seeded one."""
    secret_key: bytes
    http: HttpClient


def make_resources(
    database: Database,
    services: CapabilityRegistry,
    secret_key: bytes,
    *,
    clock: Clock,
    random: random.Random,
    http: HttpClient | None = None,
) -> KernelResources:
    """Make the resources of one kernel, for the service as for the command line."""
    wakeups = Wakeups(database)
    return KernelResources(
        database=database,
        facts=Facts(database, wakeups, clock, random),
        wakeups=wakeups,
        services=services,
        clock=clock,
        random=random,
        secret_key=secret_key,
        http=http or HttpClient(),
    )


class Context(Generic[S]):
    """One plugin's view of its kernel. Passed to the plugin's constructor, which only keeps it."""

    def __init__(
        self,
        manifest: Manifest,
        settings: Callable[[], S],
        resources: Callable[[], KernelResources],
        offline: Callable[[Callable[[], Awaitable[None]]], None],
        log: FilteringBoundLogger,
        tracer: Tracer,
        meter: Meter,
    ) -> None:
        self._manifest, self._settings, self._shared, self._offline = manifest, settings, resources, offline
        self.plugin = manifest.name
        self.log = log
        """Logger; its lines carry the plugin's name. Bind no addresses, codes or tokens: use `email_hash`."""
        self.tracer = tracer
        self.meter = meter

    @property
    def settings(self) -> S:
        """The plugin's settings. Raise ConfigurationError where they are faulty (only under the CLI)."""
        return self._settings()

    @property
    def database(self) -> Database:
        """The database."""
        return self._shared().database

    @property
    def facts(self) -> Facts:
        """Where facts are recorded."""
        return self._shared().facts

    @property
    def wakeups(self) -> Wakeups:
        """Wake-ups of workers, here and on other replicas."""
        return self._shared().wakeups

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._shared().clock

    @property
    def random(self) -> random.Random:
        """Randomness fit for secrets."""
        return self._shared().random

    @property
    def http(self) -> ClientSession:
        """The session for HTTP calls, the same for all plugins: it propagates trace and request id, and limits time."""
        return self._shared().http.session

    def require(self, capability: Capability[T]) -> T:
        """Return a service of `requires`. Available from the plugin's own lifespan on."""
        self._listed(capability, self._manifest.requires, "requires")
        return self._shared().services.require(capability, asked_by=self.plugin)

    def find(self, capability: Capability[T]) -> T | None:
        """Return a service of `uses`, or None where no installed plugin provides it."""
        self._listed(capability, self._manifest.uses, "uses")
        return self._shared().services.find(capability)

    def run_offline(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a command's work with the database open and no plugin started (for `backend_commands`)."""
        self._offline(work)

    def derive_key(self, purpose: str, length: int = 32) -> bytes:
        """Return a key of up to 64 bytes for this plugin and purpose alone (HKDF-Expand with SHA-512, RFC 5869)."""
        info = f"galaxy/{self.plugin}/{purpose}".encode()
        return hmac.digest(self._shared().secret_key, info + b"\x01", hashlib.sha512)[:length]

    def _listed(self, capability: Capability[Any], listed: tuple[Capability[Any], ...], where: str) -> None:
        if capability not in listed:
            raise CapabilityError(
                f"plugin {self.plugin!r} asked for {capability.name!r}, which its manifest does not list: "
                f"add it to {where}"
            )
