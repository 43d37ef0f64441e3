"""The hooks of the kernel: when each is called, what it returns, and what its failure does.

A plugin implements a hook by having a method of its name; there is nothing to decorate. A method that begins with
`backend_` and is not one of these refuses the boot with the nearest name. No hook takes a parameter: a plugin has its
`Context`.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import typer

from galaxy_chassis.doctor import DoctorCheck
from galaxy_chassis.health import Probe
from galaxy_kernel.caches.registry import Cache
from galaxy_kernel.core.manifest import Migrations, Offer
from galaxy_kernel.facts import Subscriptions
from galaxy_kernel.http.route import Route
from galaxy_kernel.rpc.service import RpcService
from galaxy_kernel.workers.worker import Worker


class HookSpecs:
    """Every hook."""

    def backend_migrations(self) -> Migrations:
        """Return the plugin's branch of the schema.

        Called when migrations run or are checked, before any lifespan. On failure: boot refused.
        """
        raise NotImplementedError

    def backend_lifespan(self) -> AbstractAsyncContextManager[Sequence[Offer[Any]]]:
        """Start and stop the plugin: an async context manager that yields what it offers.

        Entered in dependency order once the schema is current, left in exactly the reverse order. The offers
        must be those of the manifest's `provides`. On failure: what was started is unwound, boot refused.
        """
        raise NotImplementedError

    def backend_caches(self) -> Sequence[Cache[Any, Any]]:
        """Return the caches to load before the service is ready and to keep in step with other replicas.

        Called after every lifespan is entered. On failure: boot refused.
        """
        raise NotImplementedError

    def backend_probes(self) -> Sequence[Probe]:
        """Return the checks that `/readyz` shows.

        Called after every lifespan is entered. On failure: boot refused.
        """
        raise NotImplementedError

    def backend_routes(self) -> Sequence[Route]:
        """Return the HTTP operations.

        Called after every lifespan is entered, and by `backend routes` and `backend openapi` with none entered:
        it only describes the routes, and uses no service. On failure: boot refused.
        """
        raise NotImplementedError

    def backend_rpc(self) -> Sequence[RpcService]:
        """Return the gRPC services. Called after every lifespan is entered. On failure: boot refused."""
        raise NotImplementedError

    def backend_workers(self) -> Sequence[Worker]:
        """Return the background work.

        Called after every lifespan is entered; the workers start once the caches are warm. On failure: boot
        refused. A pass that fails later is tried again with back-off and named in `/readyz`.
        """
        raise NotImplementedError

    def backend_subscriptions(self) -> Subscriptions:
        """Return `{fact type: handler}` for the facts that the plugin listens to.

        Called after every lifespan is entered. On failure: boot refused. A handler's failure reaches neither
        the emitter nor other listeners: the fact is delivered again with back-off.
        """
        raise NotImplementedError

    def backend_commands(self) -> typer.Typer:
        """Return the commands for `backend <plugin>`.

        Called for the CLI, with no lifespan entered and perhaps with faulty settings, which show only when a
        command reads them. On failure: the commands are absent, and `backend` prints the reason.
        """
        raise NotImplementedError

    def backend_doctor(self) -> Sequence[DoctorCheck]:
        """Return the checks that `backend doctor` makes.

        Called for the CLI, with no lifespan entered and perhaps with faulty settings. A check has the settings, and
        one that needs the database the rest of the context too, but no service of another plugin. On failure: shown
        as a finding, as is the failure of a check.
        """
        raise NotImplementedError


HOOKS: tuple[str, ...] = tuple(name for name in vars(HookSpecs) if name.startswith("backend_"))
"""The names of all hooks."""
