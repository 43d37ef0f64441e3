"""Use cases: submitting (the contract's `Notifications`), the players' inbox, the operators' administration.

What happens if the process dies between any two lines:

- Submitting is one statement on the caller's connection: intents and all routes commit or roll back with their cause.
  A caller that died before receiving the id submits again with the same key and gets it.
- Everything else here is one transaction. Waking the worker follows the COMMIT and may be lost with the process: the
  worker of any replica checks by itself every `BACKEND_NOTIFICATION_WORKER_INTERVAL`.

What a crash of a delivery leaves behind is described in `galaxy_kernel.queue.batches`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.mail import OUTBOX, MailKind
from galaxy_contracts.notification import (
    ADMIN_CHANNEL,
    AdminChannelState,
    Audience,
    Channel,
    Intent,
    NotificationKind,
)
from galaxy_kernel.api import (
    Connection,
    Context,
    LeasedQueue,
    Paging,
    Problem,
    conflict,
    found_work,
    invalid,
    new_id,
    not_found,
    request_id,
)
from galaxy_notification import queries
from galaxy_notification.catalogue import Catalogue, sample
from galaxy_notification.errors import IntentError
from galaxy_notification.queue import DELIVER, route_queue
from galaxy_notification.settings import NotificationSettings

_PRUNED_AT_ONCE = 1_000
_TESTED = {"recipients": "account_id"}
"""Fields of an intent that have another name where operators test a kind."""


class NotificationService:
    """Stores intents with their callers' transactions."""

    def __init__(self, context: Context[NotificationSettings], catalogue: Catalogue) -> None:
        self._context, self._catalogue = context, catalogue

    def register(self, kind: NotificationKind) -> None:
        """Register a kind, and its mail; see the contract. Raise ValueError."""
        self._catalogue.register(kind)
        if Channel.EMAIL in kind.channels:
            mail = MailKind(name=kind.name, package=kind.package, example=_example(kind))
            self._context.require(OUTBOX).register(mail)

    async def submit(self, connection: Connection, intent: Intent) -> UUID:
        """Store an intent and its routes; see the contract. Raise IntentError, a ValueError."""
        [found] = await self.submit_many(connection, [intent])
        return found

    async def submit_many(self, connection: Connection, intents: Sequence[Intent]) -> list[UUID]:
        """Store several intents; see the contract. Raise IntentError, a ValueError."""
        checked = [self._catalogue.check(intent) for intent in intents]
        found = await queries.submit(connection, checked, request_id())
        self._context.wakeups.after_commit(connection, DELIVER)
        return found

    async def prune(self) -> bool:
        """Delete what is older than the retention and settled; return whether there may be more."""
        age = self._context.settings.retention
        async with self._context.database.transaction() as connection:
            pruned = await queries.prune(connection, age, _PRUNED_AT_ONCE)
        found_work(pruned)
        return pruned == _PRUNED_AT_ONCE


def _example(kind: NotificationKind) -> dict[str, Any]:
    """Return the parameters of a kind's mail, made of its payload's examples."""
    parameters = kind.payload.model_validate(sample(kind)).model_dump()
    return parameters if kind.audience is Audience.OPERATORS else {"recipient_name": "Ada", **parameters}


class Inbox:
    """The inbox and the preferences of players."""

    def __init__(self, context: Context[NotificationSettings], catalogue: Catalogue) -> None:
        self._context, self._catalogue = context, catalogue

    async def list(self, account: UUID, paging: Paging, *, unread: bool) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of an account's notifications, the newest first."""
        async with self._context.database.reading() as connection:
            return await queries.list_of_account(connection, account, paging, unread=unread)

    async def mark_read(self, account: UUID, notification: UUID) -> None:
        """Mark one as read; repeating it changes nothing. Raise the problem 404."""
        async with self._context.database.transaction() as connection:
            if not await queries.mark_read(connection, account, self._now(), notification):
                raise not_found("notification")

    async def mark_all_read(self, account: UUID) -> int:
        """Mark all as read, and return how many were not."""
        async with self._context.database.transaction() as connection:
            unread = await queries.count_unread(connection, account)
            await queries.mark_read(connection, account, self._now())
            return unread

    async def preferences(self, account: UUID) -> Sequence[tuple[NotificationKind, Channel, bool]]:
        """Return every kind and channel for players, and whether it is on."""
        async with self._context.database.reading() as connection:
            muted = await queries.find_mutes(connection, [account])
        kinds = [kind for kind in self._catalogue.all() if kind.audience is Audience.ACCOUNT]
        return [
            (kind, channel, (account, kind.name, channel.value) not in muted or kind.mandatory)
            for kind in kinds
            for channel in kind.channels
        ]

    async def choose(self, account: UUID, name: str, channel: Channel, *, enabled: bool) -> NotificationKind:
        """Switch a kind and channel on or off for later deliveries.

        Raise the problems 422 for a kind or channel that is not in the catalogue, 409 `notification_mandatory`.
        """
        kind = self._catalogue.find(name)
        if kind is None or kind.audience is not Audience.ACCOUNT:
            raise invalid("kind", "is not a kind of notification for players")
        if channel not in kind.channels:
            raise invalid("channel", f"this kind uses {' and '.join(kind.channels)}")
        if kind.mandatory and not enabled:
            raise conflict("notification_mandatory", "Notifications of this kind cannot be switched off.")
        async with self._context.database.transaction() as connection:
            await queries.set_mute(connection, account, name, channel, muted=not enabled)
        return kind

    def _now(self) -> datetime:
        return self._context.clock.now()


class NotificationAdmin:
    """Administration of notifications, for operators."""

    def __init__(
        self, context: Context[NotificationSettings], catalogue: Catalogue, service: NotificationService
    ) -> None:
        self._context, self._catalogue, self._service = context, catalogue, service

    @cached_property
    def queue(self) -> LeasedQueue:
        """The queue over the routes."""
        return route_queue(self._context)

    @property
    def address_set(self) -> bool:
        """Whether an address for operators is set."""
        return bool(self._context.settings.admin_email)

    def kinds(self) -> Sequence[NotificationKind]:
        """Return the catalogue, by name."""
        return self._catalogue.all()

    async def list(self, paging: Paging, **filters: Any) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of intents with their routes, the newest first; see `queries.list_notifications`."""
        async with self._context.database.reading() as connection:
            return await queries.list_notifications(connection, paging, **filters)

    async def show(self, notification: UUID) -> Row[Any]:
        """Return one intent with its routes. Raise the problem 404."""
        async with self._context.database.reading() as connection:
            return await self._found(connection, notification)

    async def retry(self, route: UUID) -> Row[Any]:
        """Make a route that was not delivered due now, with a fresh budget of attempts; return its intent.

        Raise the problems 404 `not_found`, 409 `route_already_sent`, `account_deleted`.
        """
        async with self._context.database.transaction() as connection:
            found = await queries.lock_route(connection, route)
            if found is None:
                raise not_found("route")
            if found.state == "sent":
                raise conflict("route_already_sent", "The route was delivered; submit a new intent instead.")
            self._refuse_deleted(found.account_id)
            await self.queue.requeue(connection, route)
            self._context.wakeups.after_commit(connection, DELIVER)
            return await self._found(connection, found.notification_id)

    async def test(
        self, name: str, account: UUID | None, payload: Mapping[str, Any] | None, key: str | None
    ) -> Row[Any]:
        """Submit an intent as its plugin would; without a payload, with the kind's examples.

        Raise the problem 422 with every fault.
        """
        kind = self._catalogue.find(name)
        if account is not None and self._context.require(ACCOUNTS).get(account) is None:
            raise invalid("account_id", "there is no such account")
        if payload is None:
            payload = {} if kind is None else sample(kind)
        recipients = () if account is None else (account,)
        intent = Intent(
            kind=name,
            idempotency_key=f"test:{new_id()}" if key is None else key,
            payload=payload,
            recipients=recipients,
        )
        try:
            async with self._context.database.transaction() as connection:
                return await self._found(connection, await self._service.submit(connection, intent))
        except IntentError as error:
            faults = [replace(each, field=_TESTED.get(each.field, each.field)) for each in error.faults]
            raise Problem(422, "invalid_request", str(error), faults=faults) from None

    async def admin_channel(self) -> AdminChannelState | None:
        """Return whether the admin channel is on; None where it is not installed."""
        channel = self._context.find(ADMIN_CHANNEL)
        if channel is None:
            return None
        async with self._context.database.reading() as connection:
            return await channel.state(connection)

    async def switch_admin_channel(self, *, enabled: bool) -> AdminChannelState:
        """Switch the admin channel. Raise the problem 409 `admin_channel_not_installed`."""
        channel = self._context.find(ADMIN_CHANNEL)
        if channel is None:
            raise conflict(
                "admin_channel_not_installed",
                "The plugin adminchannel is not installed or disabled: install galaxy-backend-adminchannel.",
            )
        async with self._context.database.transaction() as connection:
            return await channel.switch(connection, enabled=enabled)

    def _refuse_deleted(self, account: UUID | None) -> None:
        found = None if account is None else self._context.require(ACCOUNTS).get(account)
        if found is not None and found.deleted_at is not None:
            raise conflict("account_deleted", "The account is deleted: nothing is delivered to it any more.")

    async def _found(self, connection: Connection, notification: UUID) -> Row[Any]:
        row = await queries.find_notification(connection, notification)
        if row is None:
            raise not_found("notification")
        return row
