"""The channels to recipients. Each delivers a set of routes on the connection that records their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel
from structlog.typing import FilteringBoundLogger

from galaxy_contracts.accounts import Account
from galaxy_contracts.mail import Message, Outbox
from galaxy_contracts.notification import AdminChannel, NotificationKind
from galaxy_contracts.push import Push, PushEvent
from galaxy_kernel.api import Claim, Connection, Outcome, Result
from galaxy_notification.domain import Reason
from galaxy_notification.unsubscribe.domain import UnsubscribeLinks, Unsubscription


@dataclass(frozen=True, slots=True)
class OutgoingRoute:
    """A claimed route, ready to be delivered."""

    claim: Claim
    kind: NotificationKind
    payload: BaseModel
    account: Account | None
    """None: operators."""

    def message(self, recipient: str, zone: tzinfo = UTC, unsubscribe_url: str | None = None) -> Message:
        """Return its mail, with times in a zone.

        Its key is the route's id: delivered a second time, it is the same mail.
        """
        account, parameters = self.account, self.payload.model_dump()
        if account is not None:
            parameters = {"recipient_name": account.display_name, **_local(parameters, zone)}
        return Message(
            kind=self.kind.name,
            recipient=recipient,
            language="en" if account is None else account.language,
            parameters=parameters,
            idempotency_key=str(self.claim.id),
            request_id=self.claim.row.request_id,
            account_id=None if account is None else account.id,
            unsubscribe_url=unsubscribe_url,
        )

    def event(self) -> PushEvent:
        """Return its live event. Its key is the route's id."""
        told = self.payload.model_dump(mode="json", by_alias=True)
        return PushEvent(
            kind=self.kind.name,
            payload={"notification_id": str(self.claim.row.notification_id), **told},
            account_id=self.claim.row.account_id,
            key=self.claim.id,
            request_id=self.claim.row.request_id,
        )


class EmailChannel:
    """Players' mail: a route is sent once its delivery row commits with it (SPEC N-2)."""

    def __init__(self, outbox: Outbox, links: UnsubscribeLinks, log: FilteringBoundLogger) -> None:
        self._outbox, self._links, self._log = outbox, links, log
        self._zones: dict[str, tzinfo] = {}

    async def deliver(self, connection: Connection, outgoing: Sequence[OutgoingRoute]) -> list[Result]:
        """Queue the mails; one that cannot be queued is a dead letter."""
        messages = [
            each.message(
                each.account.email or "", self._zone(each.account.time_zone), self._link(each.kind, each.account.id)
            )
            for each in outgoing
            if each.account is not None
        ]
        return _queued(outgoing, await self._outbox.enqueue_many(connection, messages))

    def _zone(self, name: str) -> tzinfo:
        """Return a time zone, or UTC for one that this replica's database has not: another replica's may be newer."""
        if name not in self._zones:
            try:
                self._zones[name] = ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown, not a name, the name of a folder
                self._log.warning("time_zone_missing", time_zone=name)  # once for each name
                self._zones[name] = UTC
        return self._zones[name]

    def _link(self, kind: NotificationKind, account: UUID) -> str | None:
        """Return the link to unsubscribe; None for a kind that cannot be switched off (SPEC N-8)."""
        return None if kind.mandatory else self._links.url(Unsubscription(account, kind.name))


class PushChannel:
    """Live events, where push is installed."""

    def __init__(self, push: Push | None) -> None:
        self._push = push

    async def deliver(self, connection: Connection, outgoing: Sequence[OutgoingRoute]) -> list[Result]:
        """Publish the events."""
        if self._push is None:
            return skip(outgoing, Reason.PUSH_NOT_INSTALLED)
        await self._push.publish(connection, [each.event() for each in outgoing])
        return [Result(each.claim, Outcome.DONE) for each in outgoing]


class OperatorsChannel:
    """Operators' mail, by the admin channel where it is installed and on (SPEC N-5)."""

    def __init__(self, channel: AdminChannel | None, recipient: str) -> None:
        self._channel, self._recipient = channel, recipient

    async def deliver(self, connection: Connection, outgoing: Sequence[OutgoingRoute]) -> list[Result]:
        """Pass the mails to the admin channel; one that cannot be queued is a dead letter."""
        if self._channel is None:
            return skip(outgoing, Reason.ADMIN_CHANNEL_NOT_INSTALLED)
        if not self._recipient:
            return skip(outgoing, Reason.ADMIN_EMAIL_NOT_SET)
        messages = [each.message(self._recipient) for each in outgoing]
        outcomes = await self._channel.deliver(connection, messages)
        return skip(outgoing, Reason.ADMIN_CHANNEL_OFF) if outcomes is None else _queued(outgoing, outcomes)


def skip(outgoing: Sequence[OutgoingRoute], reason: Reason) -> list[Result]:
    """Return the results of routes that are not delivered on purpose."""
    return [Result(each.claim, Outcome.SKIPPED, reason) for each in outgoing]


def _queued(outgoing: Sequence[OutgoingRoute], outcomes: Sequence[UUID | ValueError]) -> list[Result]:
    """Return the results of mails that were passed to the outbox."""
    return [
        Result(each.claim, Outcome.DEAD_LETTERED, str(outcome))
        if isinstance(outcome, ValueError)
        else Result(each.claim, Outcome.DONE)
        for each, outcome in zip(outgoing, outcomes, strict=True)
    ]


def _local(parameters: Mapping[str, Any], zone: tzinfo) -> dict[str, Any]:
    """Return the parameters with times in the recipient's zone."""
    return {
        name: value.astimezone(zone) if isinstance(value, datetime) and value.tzinfo else value
        for name, value in parameters.items()
    }
