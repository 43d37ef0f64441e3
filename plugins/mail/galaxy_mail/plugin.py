"""The plugin: wiring only."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.mail import OUTBOX
from galaxy_kernel.api import Context, DoctorCheck, Manifest, Migrations, Offer, Probe, Route, Subscriptions, Worker
from galaxy_mail import doctor, events, routes, workers
from galaxy_mail.dev.companion import MAIL_SINK
from galaxy_mail.sealing import Sealer
from galaxy_mail.service import Deliveries, MailOutbox
from galaxy_mail.settings import MailSettings
from galaxy_mail.tables import metadata
from galaxy_mail.transport import SmtpTransport, tls_context


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
        self._deliveries = Deliveries(context)
        self._workers: Sequence[Worker] = ()
        self._probes: Sequence[Probe] = ()

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_mail.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        context, settings = self._context, self._context.settings
        sealer = Sealer(context.derive_key("seal"))
        tls = await asyncio.to_thread(tls_context, settings.smtp)
        transport = SmtpTransport(settings.smtp, tls, monotonic=context.clock.monotonic)
        deliverer = workers.Deliverer(
            context.database,
            self._deliveries.queue,
            transport,
            sealer,
            settings,
            clock=context.clock,
            random=context.random,
            log=context.log,
            meter=context.meter,
        )
        self._workers = workers.workers(context, deliverer, self._deliveries)
        self._probes = (Probe("relay", deliverer.health),)
        try:
            yield (Offer(OUTBOX, MailOutbox(context, sealer)),)
        finally:
            await transport.close()

    def backend_routes(self) -> Sequence[Route]:
        return routes.routes(self._deliveries)

    def backend_doctor(self) -> Sequence[DoctorCheck]:
        return doctor.checks(self._context)

    def backend_workers(self) -> Sequence[Worker]:
        return self._workers

    def backend_probes(self) -> Sequence[Probe]:
        return self._probes

    def backend_subscriptions(self) -> Subscriptions:
        return events.subscriptions(self._deliveries)
