"""The plugin's HTTP operations (SPEC M-5), all for operators. Bodies of mails are never shown."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from galaxy_kernel.api import Access, Model, Page, Paging, Route, Timestamp
from galaxy_mail.domain import DeliveryState
from galaxy_mail.service import Deliveries


class DeliveryQuery(Paging):
    """Filters of deliveries."""

    state: DeliveryState | None = None
    """Only those in this state."""
    kind: str | None = None
    """Only those of this kind, for example `auth.sign_in_code`."""
    recipient: str | None = None
    """Only those to exactly this address, whatever its case."""


class DeliveryView(Model):
    """One mail to one recipient."""

    id: UUID
    kind: str
    recipient: str | None
    """None once the recipient's account is deleted."""
    state: DeliveryState
    attempts: int
    """The number of its attempts, over its whole life."""
    created_at: Timestamp
    next_attempt_at: Timestamp | None
    """When it is due; while it is being sent, when its lease ends. None once it has ended."""
    sent_at: Timestamp | None
    expires_at: Timestamp | None
    last_error: str | None
    """Why the last attempt failed, or why it was dead-lettered."""
    message_id: str
    request_id: str
    """The request that queued it."""


class AttemptView(Model):
    """One attempt to send a mail."""

    attempt_no: int
    started_at: Timestamp
    finished_at: Timestamp | None
    """None when the worker was lost."""
    outcome: Literal["sent", "retrying", "dead_lettered", "lost"]
    """Its outcome; `lost`: the worker died, and the relay may have accepted the mail."""
    smtp_code: int | None
    """The relay's reply code (RFC 5321), if there was one."""
    detail: str | None


def routes(service: Deliveries) -> Sequence[Route]:
    """Return the plugin's routes."""
    return (*_list_routes(service), *_delivery_routes(service))


def _list_routes(service: Deliveries) -> Sequence[Route]:
    async def list_deliveries(query: DeliveryQuery) -> Page[DeliveryView]:
        """Contents of mails are never shown. This read is recorded in the audit log."""
        chosen = {"state": query.state, "kind": query.kind, "recipient": query.recipient}
        rows, total = await service.list_deliveries(query, **chosen)
        return query.page_of([DeliveryView.of(row) for row in rows], total)

    async def list_dead_letters(query: Paging) -> Page[DeliveryView]:
        """Mails that are not attempted any more, the newest first; resending one queues it again. This read is recorded
        in the audit log.
        """
        rows, total = await service.list_deliveries(query, state="dead_lettered")
        return query.page_of([DeliveryView.of(row) for row in rows], total)

    path, dead, admin = "/api/v1/admin/mail/deliveries", "/api/v1/admin/mail/dead-letters", Access.ADMIN
    listed, summary = "mail.list_deliveries", "List deliveries, the newest first."
    return (
        Route("GET", path, list_deliveries, listed, summary, admin, personal=True),
        Route("GET", dead, list_dead_letters, "mail.list_dead_letters", "List dead letters.", admin, personal=True),
    )


def _delivery_routes(service: Deliveries) -> Sequence[Route]:
    async def show(delivery_id: UUID) -> DeliveryView:
        """Its state and what the last attempt came to; its content is never shown. This read is recorded in the audit
        log.
        """
        return DeliveryView.of(await service.show(delivery_id))

    async def list_attempts(delivery_id: UUID, query: Paging) -> Page[AttemptView]:
        """The first one first, with the relay's replies, over the mail's whole life. This read is recorded in the audit
        log.
        """
        rows, total = await service.list_attempts(delivery_id, query)
        return query.page_of([AttemptView.of(row) for row in rows], total)

    async def resend(delivery_id: UUID) -> DeliveryView:
        """From any state but `sent`. The numbers of its attempts continue. A mail that has expired, or whose content is
        gone, cannot be sent.
        """
        return DeliveryView.of(await service.resend(delivery_id))

    one, admin, missing = "/api/v1/admin/mail/deliveries/{delivery_id}", Access.ADMIN, "404 not_found"
    return (
        Route("GET", one, show, "mail.show_delivery", "Show a delivery.", admin, errors=(missing,), personal=True),
        Route(
            "GET",
            f"{one}/attempts",
            list_attempts,
            name="mail.list_attempts",
            summary="List a delivery's attempts.",
            access=admin,
            errors=(missing,),
            personal=True,
        ),
        Route(
            "POST",
            f"{one}/resend",
            resend,
            name="mail.resend_delivery",
            summary="Send a mail that was not sent, now and with a fresh budget of attempts.",
            access=admin,
            errors=(missing, "409 mail_already_sent", "409 mail_expired", "409 mail_has_no_content"),
        ),
    )
