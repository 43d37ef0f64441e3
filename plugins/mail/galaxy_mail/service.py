"""Use cases: queueing mails (`MailOutbox`), and the operators' view of the queue (`Deliveries`).

What happens if the process dies between any two lines:

- `enqueue` and `enqueue_many` compose the mails in memory, then add their rows with one statement of the caller's
  transaction. Before the caller's COMMIT there is no mail; after it the rows exist and are due, and a process that dies
  before waking the worker loses only the wake-up: the worker of any replica finds them within its interval.
- `resend` is one transaction: the delivery is due again, with its new budget, or as it was.
- `forget` is part of the transaction that also removes the fact: before its COMMIT the fact is delivered again. It
  waits for transactions that have queued mails, and those that follow wait for it.
- `fold` is one transaction, repeated until no recipient is left to fold.
- `prune` is one transaction: a delivery is deleted together with its attempts, or stays until the next pass.

The crash of a worker that sends a mail is described in the kernel's `queue` and `pump`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from galaxy_contracts.mail import MailKind, Message
from galaxy_kernel.api import Connection, Context, LeasedQueue, Paging, conflict, new_id, not_found, request_id
from galaxy_mail import queries
from galaxy_mail.domain import Draft, Identity, check_key, check_unsubscribe_url, parse_recipient
from galaxy_mail.errors import RenderError
from galaxy_mail.mime import compose
from galaxy_mail.queue import DELIVER, delivery_queue
from galaxy_mail.rendering import Renderer
from galaxy_mail.sealing import Sealer
from galaxy_mail.settings import MailSettings

RENDER_FAILED = "render_failed"
ACCOUNT_DELETED = "account_deleted"
_PRUNED_AT_ONCE = _FOLDED_AT_ONCE = 1_000


class MailOutbox:
    """Queues mails with the caller's transaction; the contract's `Outbox`."""

    def __init__(self, context: Context[MailSettings], sealer: Sealer) -> None:
        self._context, self._sealer = context, sealer
        self._sender = context.settings.smtp.sender
        self._renderer = Renderer(self._sender.display_name or self._sender.domain)

    def register(self, kind: MailKind) -> None:
        """Register a kind. Raise TemplateError for missing or broken templates."""
        self._renderer.register(kind)

    async def enqueue(self, connection: Connection, message: Message) -> UUID:
        """Queue a mail and return the delivery's id; see the contract."""
        [queued] = await self.enqueue_many(connection, [message])
        if isinstance(queued, ValueError):
            raise queued
        return queued

    async def enqueue_many(self, connection: Connection, messages: Sequence[Message]) -> list[UUID | ValueError]:
        """Queue mails and return the deliveries' ids or errors; see the contract.

        Everything that can fail is done before the connection is used: the caller's transaction stays intact. All
        mails are in memory at once, some 5 kB each.
        """
        drafts: list[Draft | ValueError] = []
        for message in messages:
            if drafts:
                await asyncio.sleep(0)  # composing one takes a millisecond: other tasks need not wait for all of them
            drafts.append(self._draft(message))
        ids = await self._insert(connection, [draft for draft in drafts if isinstance(draft, Draft)])
        return [draft if isinstance(draft, ValueError) else ids[draft.identity] for draft in drafts]

    async def _insert(self, connection: Connection, drafts: Sequence[Draft]) -> dict[Identity, UUID]:
        """Add the drafts whose keys are new, and return the deliveries' ids."""
        first: dict[Identity, Draft] = {}
        for draft in drafts:
            first.setdefault(draft.identity, draft)
        ids: dict[Identity, UUID] = {}
        while missing := [draft for identity, draft in first.items() if identity not in ids]:
            inserted = await queries.insert_deliveries(connection, missing)
            if inserted:
                self._context.wakeups.after_commit(connection, DELIVER)
            ids |= {draft.identity: draft.id for draft in missing if draft.id in inserted}
            if taken := [identity for identity in first if identity not in ids]:
                # one that is being pruned is not found: its key is free now
                ids.update(await queries.find_by_keys(connection, taken))
        return ids

    def _draft(self, message: Message) -> Draft | ValueError:
        """Make a delivery of a message: a dead letter when its template fails."""
        try:
            kind = self._renderer.kind(message.kind)
            recipient = parse_recipient(message.recipient)
            key = check_key(message.idempotency_key)
            unsubscribe = check_unsubscribe_url(message.unsubscribe_url)
            if message.expires_at is not None and message.expires_at.tzinfo is None:
                raise ValueError("expires_at: must carry an offset from UTC")
            delivery = new_id()
            message_id = f"<{delivery}@{self._sender.domain}>"
            request = message.request_id or request_id()
            draft = Draft(
                id=delivery,
                kind=kind.name,
                recipient=recipient.readable,
                recipient_folded=recipient.folded,
                account_id=message.account_id,
                message_id=message_id,
                idempotency_key=key,
                expires_at=message.expires_at,
                request_id=request,
            )
            rendered = self._renderer.render(kind.name, message.language, message.parameters, unsubscribe)
            mime = compose(
                rendered,
                sender=self._sender,
                recipient=recipient.envelope,
                message_id=message_id,
                date=self._context.clock.now(),
                unsubscribe_url=unsubscribe,
            )
        except RenderError as error:
            self._context.log.error("mail_render_failed", kind=kind.name, delivery_id=str(delivery), reason=str(error))
            return replace(draft, last_error=f"{RENDER_FAILED}: {error}")
        except ValueError as fault:
            return fault
        return replace(draft, sealed=self._sealer.seal(delivery, mime)) if kind.secret else replace(draft, mime=mime)


class Deliveries:
    """The operators' view of the queue, and the removal of deleted accounts' data."""

    def __init__(self, context: Context[MailSettings]) -> None:
        self._context = context

    @cached_property
    def queue(self) -> LeasedQueue:
        """The queue over the deliveries."""
        return delivery_queue(self._context.settings, clock=self._context.clock, random=self._context.random)

    async def list_deliveries(
        self, paging: Paging, *, state: str | None = None, kind: str | None = None, recipient: str | None = None
    ) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of deliveries, the newest first, and how many there are.

        A recipient is matched exactly, ignoring case.
        """
        async with self._context.database.reading() as connection:
            return await queries.list_deliveries(connection, paging, state=state, kind=kind, recipient=recipient)

    async def show(self, delivery: UUID) -> Row[Any]:
        """Return one delivery."""
        async with self._context.database.reading() as connection:
            return await self._found(connection, delivery)

    async def list_attempts(self, delivery: UUID, paging: Paging) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of a delivery's attempts, the first one first, and how many there are."""
        async with self._context.database.reading() as connection:
            await self._found(connection, delivery)
            return await queries.list_attempts(connection, delivery, paging)

    async def resend(self, delivery: UUID) -> Row[Any]:
        """Make a delivery due now, with a fresh budget of attempts; its attempt numbers continue.

        Raise the problems 404 `not_found`, 409 `mail_already_sent`, `mail_expired` and `mail_has_no_content`.
        """
        async with self._context.database.transaction() as connection:
            found = await queries.lock_for_resend(connection, delivery)
            if found is None:
                raise not_found("delivery")
            if found.state == "sent":
                raise conflict("mail_already_sent", "The mail was sent; queue a new one instead.")
            if found.expired:
                raise conflict("mail_expired", "The mail has expired: its content is no longer valid.")
            if found.empty:
                raise conflict("mail_has_no_content", "The mail was never composed, or was wiped; see its last_error.")
            await self.queue.requeue(connection, delivery)
            self._context.wakeups.after_commit(connection, DELIVER)
            return await self._found(connection, delivery)

    async def forget(self, connection: Connection, account: UUID, email: str, until: datetime) -> None:
        """Remove the address and the mails of an account that was deleted at `until` from the queue and its history.

        Mails to the address that are for another account, or for none and queued later, stay: the same person may be
        signing in again.
        """
        await queries.scrub_account(connection, account, email, until, ACCOUNT_DELETED)

    async def fold(self) -> bool:
        """Fold recipients that a previous release stored; return whether there may be more."""
        async with self._context.database.transaction() as connection:
            return await queries.fold_recipients(connection, _FOLDED_AT_ONCE) == _FOLDED_AT_ONCE

    async def prune(self) -> bool:
        """Delete ended mails that are older than the retention; return whether there may be more."""
        age = self._context.settings.retention
        async with self._context.database.transaction() as connection:
            return await queries.prune(connection, age, _PRUNED_AT_ONCE) == _PRUNED_AT_ONCE

    async def _found(self, connection: Connection, delivery: UUID) -> Row[Any]:
        row = await queries.find_delivery(connection, delivery)
        if row is None:
            raise not_found("delivery")
        return row
