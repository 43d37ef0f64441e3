"""Outgoing mail: what the mail plugin offers to others."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from galaxy_contracts.capability import Capability
from galaxy_contracts.database import Connection


class MailKind(msgspec.Struct, frozen=True):
    """A kind of mail that a plugin sends, with its templates."""

    name: str
    """`<plugin>.<kind>`, for example `auth.sign_in_code`: what operators filter by."""
    package: str
    """Import name of the package with `templates/<kind>.<language>.txt` and `.html` (the kind without its plugin)."""
    secret: bool = False
    """Whether its mails carry a secret: stored sealed, never shown, wiped once sent or expired."""
    default_language: str = "en"
    """Language used when the recipient's has no templates."""
    example: Mapping[str, Any] | None = None
    """Parameters as a message has them. With it the templates are tried out when the kind is registered."""


class Message(msgspec.Struct, frozen=True):
    """One mail to one recipient. It is rendered when it is queued and sent unchanged."""

    kind: str
    recipient: str
    language: str
    parameters: Mapping[str, Any]
    """The values for the templates."""
    idempotency_key: str | None = None
    """A second enqueue with the same kind and key adds nothing and returns the first one's id.

    At most 255 characters; it holds for as long as the first one is kept.
    """
    expires_at: datetime | None = None
    """Never sent after this; ends `dead_lettered` with the reason `expired`."""
    request_id: str | None = None
    """The id of the request that caused it; None: the current one."""
    account_id: UUID | None = None
    """The account that it is for. The mail is removed with it; the caller has locked it (`Accounts.lock`)."""
    unsubscribe_url: str | None = None
    """Where one POST unsubscribes the recipient (RFC 8058), and a GET shows a page with a button that sends it.

    The mail then has the headers `List-Unsubscribe` and `List-Unsubscribe-Post`, and a link at its end.
    """


class Outbox(Protocol):
    """The queue of outgoing mail."""

    def register(self, kind: MailKind) -> None:
        """Register a kind, in the owner's lifespan.

        Compiles its templates in every language, and fills the kind's example in: a broken one refuses the boot.
        """

    async def enqueue(self, connection: Connection, message: Message) -> UUID:
        """Queue a mail with the caller's transaction and return the delivery's id.

        Raise `ValueError` for a recipient that is not an address or has CR or LF, for an unknown kind, and for an
        `unsubscribe_url` that is not a URL of http or https.
        A template that fails to render leaves a dead letter with the reason; the caller continues.
        """

    async def enqueue_many(self, connection: Connection, messages: Sequence[Message]) -> list[UUID | ValueError]:
        """Queue any number of mails as `enqueue` does each of them, in their order, with one statement.

        Return for each, in order, the delivery's id or the `ValueError` that `enqueue` would raise: one that cannot be
        queued does not affect the others. Of several with one kind and key the first is queued, and all get its id.
        """


OUTBOX: Capability[Outbox] = Capability("mail.outbox")
