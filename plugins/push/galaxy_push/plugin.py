"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import typer

from galaxy_contracts.push import PUSH
from galaxy_kernel.api import (
    Connection,
    Context,
    Manifest,
    Migrations,
    Offer,
    Probe,
    RpcService,
    Subscriptions,
    Worker,
)
from galaxy_push import commands, events, rpc, workers
from galaxy_push.hub import Hub
from galaxy_push.metrics import Metrics
from galaxy_push.replays import Replays
from galaxy_push.service import PushService
from galaxy_push.settings import PushSettings
from galaxy_push.tables import metadata


class PushPlugin:
    """Live events to gateways over gRPC."""

    manifest = Manifest(
        name="push",
        summary="Live events to gateways over gRPC.",
        settings=PushSettings,
        provides=(PUSH,),
    )

    def __init__(self, context: Context[PushSettings]) -> None:
        self._context = context
        self._service = PushService(self._wake)
        self._metrics = Metrics(context.meter)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_push.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        yield (Offer(PUSH, self._service),)

    def backend_rpc(self) -> Sequence[RpcService]:
        return (rpc.service(self._subscriptions, self._replays),)

    def backend_workers(self) -> Sequence[Worker]:
        return workers.workers(self._context.database, self._reader, self._context.settings.retention)

    def backend_probes(self) -> Sequence[Probe]:
        return (Probe("events", self._reader.health),)

    def backend_subscriptions(self) -> Subscriptions:
        return events.subscriptions(self._service)

    def backend_commands(self) -> typer.Typer:
        return commands.commands()

    @cached_property
    def _hub(self) -> Hub:
        return Hub(self._context.clock.monotonic)

    @cached_property
    def _reader(self) -> workers.Reader:
        context = self._context
        return workers.Reader(context.database, self._hub, context.clock, self._metrics, context.log)

    @cached_property
    def _subscriptions(self) -> rpc.Subscriptions:
        context = self._context
        return rpc.Subscriptions(context.database, self._hub, context.settings, self._metrics, context.log)

    @cached_property
    def _replays(self) -> Replays:
        return Replays(self._context.database, self._metrics)

    def _wake(self, connection: Connection) -> None:
        self._context.wakeups.after_commit(connection, workers.READ)
