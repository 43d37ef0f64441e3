"""The plugin: wiring only."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.mail import OUTBOX
from galaxy_kernel.api import Context, Manifest, Migrations, Offer, Probe, Route, Subscriptions, Worker
from galaxy_mail import events, routes
from galaxy_mail.dev.companion import MAIL_SINK
from galaxy_mail.sealing import Sealer
from galaxy_mail.service import Deliveries, MailOutbox
from galaxy_mail.settings import MailSettings
from galaxy_mail.tables import metadata
from galaxy_mail.transport import SmtpTransport, tls_context
from galaxy_mail.workers import DELIVER, PRUNE_INTERVAL, Deliverer, delivery_queue


class MailPlugin:
    """Outgoing mail."""

    manifest = Manifest(
        name="mail",
        summary="Outgoing mail queue.",
        settings=MailSettings,
        provides=(OUTBOX,),
        companions=(MAIL_SINK,),
    )

    def __init__(self, context: Context[MailSettings]) -> None:
        self._context = context
        self._outbox, self._deliveries = MailOutbox(context), Deliveries(context)
        self._deliverer: Deliverer

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_mail.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        context, settings = self._context, self._context.settings
        queue = delivery_queue(settings, clock=context.clock, random=context.random)
        sealer = Sealer(context.derive_key("seal"))
        tls = await asyncio.to_thread(tls_context, settings.smtp)
        transport = SmtpTransport(settings.smtp, tls, monotonic=context.clock.monotonic)
        self._outbox.open(sealer)
        self._deliveries.open(queue)
        self._deliverer = Deliverer(
            context.database,
            queue,
            transport,
            sealer,
            settings,
            clock=context.clock,
            random=context.random,
            log=context.log,
            meter=context.meter,
        )
        try:
            yield (Offer(OUTBOX, self._outbox),)
        finally:
            await transport.close()

    def backend_routes(self) -> Sequence[Route]:
        return routes.routes(self._deliveries)

    def backend_workers(self) -> Sequence[Worker]:
        return (
            Worker(DELIVER, self._deliverer.run, self._context.settings.worker_interval),
            Worker("mail.prune", self._deliveries.prune, PRUNE_INTERVAL, singleton=True),
        )

    def backend_probes(self) -> Sequence[Probe]:
        return (Probe("relay", self._deliverer.health),)

    def backend_subscriptions(self) -> Subscriptions:
        return events.subscriptions(self._deliveries)
