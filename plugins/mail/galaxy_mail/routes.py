"""The operators' routes over the queue (SPEC M-5). Bodies of mails are never shown."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from sqlalchemy import Row

from galaxy_kernel.api import Access, Model, Page, Paging, Route
from galaxy_mail.service import Deliveries

V = TypeVar("V", bound=Model)

_DELIVERIES = "/api/v1/admin/mail/deliveries"


class DeliveryFilter(Paging):
    """Which deliveries to list."""

    state: Literal["pending", "retrying", "sent", "dead_lettered"] | None = None
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
    state: Literal["pending", "retrying", "sent", "dead_lettered"]
    attempts: int
    """How often it was tried, over its whole life."""
    created_at: datetime
    next_attempt_at: datetime | None
    """When it is due; while it is being sent, when another worker would take it up. None once it ended."""
    sent_at: datetime | None
    expires_at: datetime | None
    last_error: str | None
    """Why the last attempt failed, or why it was given up."""
    message_id: str
    request_id: str
    """The request that queued it."""


class AttemptView(Model):
    """One attempt to send a mail."""

    attempt_no: int
    started_at: datetime
    finished_at: datetime | None
    """None when the worker was lost."""
    outcome: Literal["sent", "retrying", "dead_lettered", "lost"]
    """What it made of the mail; `lost`: the worker died, and the relay may have taken the mail."""
    smtp_code: int | None
    """The relay's answer (RFC 5321), if it came to one."""
    detail: str | None


class MailRoutes:
    """The handlers, bound to a service that is there once the plugin has started."""

    def __init__(self, deliveries: Callable[[], Deliveries]) -> None:
        self._deliveries = deliveries

    def routes(self) -> list[Route]:
        """Describe the routes; looks at no service."""
        delivery = f"{_DELIVERIES}/{{delivery_id}}"
        return [
            _route("GET", _DELIVERIES, self.list, "list_deliveries", "List deliveries, the newest first."),
            _route("GET", delivery, self.show, "show_delivery", "Show a delivery.", "404 not_found"),
            _route(
                "GET",
                f"{delivery}/attempts",
                self.attempts,
                "list_attempts",
                "List a delivery's attempts.",
                "404 not_found",
            ),
            _route("GET", "/api/v1/admin/mail/dead-letters", self.dead, "list_dead_letters", "List what was given up."),
            _route(
                "POST",
                f"{delivery}/resend",
                self.resend,
                "resend_delivery",
                "Send a mail that was not sent, now and with a fresh budget of attempts.",
                "404 not_found",
                "409 mail_already_sent",
                "409 mail_expired",
                "409 mail_has_no_content",
            ),
        ]

    async def list(self, query: DeliveryFilter) -> Page[DeliveryView]:
        chosen = {"state": query.state, "kind": query.kind, "recipient": query.recipient}
        return _page(DeliveryView, await self._deliveries().list(query, **chosen), query)

    async def show(self, delivery_id: UUID) -> DeliveryView:
        return DeliveryView.model_validate(await self._deliveries().show(delivery_id), from_attributes=True)

    async def attempts(self, delivery_id: UUID, query: Paging) -> Page[AttemptView]:
        return _page(AttemptView, await self._deliveries().attempts(delivery_id, query), query)

    async def dead(self, query: Paging) -> Page[DeliveryView]:
        return _page(DeliveryView, await self._deliveries().list(query, state="dead_lettered"), query)

    async def resend(self, delivery_id: UUID) -> DeliveryView:
        return DeliveryView.model_validate(await self._deliveries().resend(delivery_id), from_attributes=True)


def _route(method: Literal["GET", "POST"], path: str, handler: Any, name: str, summary: str, *errors: str) -> Route:
    return Route(method, path, handler, name=f"mail.{name}", summary=summary, access=Access.ADMIN, errors=errors)


def _page(model: type[V], found: tuple[Sequence[Row[Any]], int], query: Paging) -> Page[V]:
    rows, total = found
    return query.page_of([model.model_validate(row, from_attributes=True) for row in rows], total)
