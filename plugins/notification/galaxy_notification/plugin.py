"""The plugin: wiring only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX
from galaxy_contracts.notification import ADMIN_CHANNEL, NOTIFICATIONS
from galaxy_contracts.push import PUSH
from galaxy_kernel.api import Context, DoctorCheck, Manifest, Migrations, Offer, Route, Subscriptions, Worker
from galaxy_notification import doctor, events, routes, workers
from galaxy_notification.catalogue import Catalogue
from galaxy_notification.kinds import OPERATORS_KINDS
from galaxy_notification.service import Inbox, NotificationAdmin, NotificationService
from galaxy_notification.settings import NotificationSettings
from galaxy_notification.tables import metadata
from galaxy_notification.unsubscribe import routes as unsubscribe_routes
from galaxy_notification.unsubscribe.service import UnsubscribeService


class NotificationPlugin:
    """Notifications to players and operators."""

    manifest = Manifest(
        name="notification",
        summary="Notifications to players and operators, each delivered once.",
        settings=NotificationSettings,
        provides=(NOTIFICATIONS,),
        requires=(ACCOUNTS, OUTBOX),
        uses=(ADMIN_CHANNEL, PUSH),
        dev_environment={"BACKEND_NOTIFICATION_PUBLIC_URL": "{api}"},
    )

    def __init__(self, context: Context[NotificationSettings]) -> None:
        self._context = context
        self._catalogue = Catalogue()
        self._service = NotificationService(context, self._catalogue)
        self._inbox = Inbox(context, self._catalogue)
        self._admin = NotificationAdmin(context, self._catalogue, self._service)
        self._unsubscribe = UnsubscribeService(context, self._catalogue)

    def backend_migrations(self) -> Migrations:
        return Migrations("galaxy_notification.migrations", metadata)

    @asynccontextmanager
    async def backend_lifespan(self) -> AsyncIterator[Sequence[Offer[Any]]]:
        for kind in OPERATORS_KINDS:
            self._service.register(kind)
        yield (Offer(NOTIFICATIONS, self._service),)

    def backend_routes(self) -> Sequence[Route]:
        return (*routes.routes(self._inbox, self._admin), *unsubscribe_routes.routes(self._unsubscribe))

    def backend_doctor(self) -> Sequence[DoctorCheck]:
        return doctor.checks(self._context)

    def backend_workers(self) -> Sequence[Worker]:
        queue, links = self._admin.queue, self._unsubscribe.links
        deliverer = workers.Deliverer(self._context, self._catalogue, queue, links)
        return workers.workers(self._context, deliverer, self._service)

    def backend_subscriptions(self) -> Subscriptions:
        return events.subscriptions()
