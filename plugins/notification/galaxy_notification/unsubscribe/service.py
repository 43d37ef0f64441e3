"""Use cases: showing what a link mutes, and muting it.

What happens if the process dies between any two lines: `unsubscribe` is one statement in a transaction of its own, and
repeating it changes nothing. Before its COMMIT nothing is muted and nobody was answered: a mail provider repeats the
request, a player presses the button again. After it the kind is muted, answered or not.
"""

from dataclasses import dataclass
from functools import cached_property

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.notification import Channel
from galaxy_kernel.api import Context
from galaxy_notification import queries
from galaxy_notification.catalogue import Catalogue
from galaxy_notification.settings import NotificationSettings
from galaxy_notification.unsubscribe.domain import UnsubscribeLinks, Unsubscription


@dataclass(frozen=True, slots=True)
class Subject:
    """What a valid link is about."""

    unsubscription: Unsubscription
    language: str
    """The account's."""
    summary: str
    """The kind's, or its name where its plugin is not installed here."""
    mandatory: bool
    """Whether the kind can no longer be switched off."""
    gone: bool
    """Whether the account is deleted: it gets no mails, and nothing is kept for it."""


class UnsubscribeService:
    """Mutes kinds for those who have a link, whoever they are."""

    def __init__(self, context: Context[NotificationSettings], catalogue: Catalogue) -> None:
        self._context, self._catalogue = context, catalogue

    @cached_property
    def links(self) -> UnsubscribeLinks:
        """The links of this deployment."""
        return UnsubscribeLinks(self._context.derive_key("unsubscribe"), self._context.settings.public_url)

    def find(self, token: str) -> Subject | None:
        """Return what a link is about; None: it is not valid."""
        unsubscription = self.links.read(token)
        if unsubscription is None:
            return None
        kind = self._catalogue.find(unsubscription.kind)
        account = self._context.require(ACCOUNTS).get(unsubscription.account_id)
        return Subject(
            unsubscription=unsubscription,
            language="en" if account is None else account.language,
            summary=unsubscription.kind if kind is None else kind.summary,
            mandatory=kind is not None and kind.mandatory,
            gone=account is not None and account.deleted_at is not None,
        )

    async def unsubscribe(self, token: str) -> Subject | None:
        """Mute the link's kind by e-mail unless it is mandatory.

        Return what the link is about; None: it is not valid.
        """
        subject = self.find(token)
        if subject is not None and not subject.mandatory and not subject.gone:
            muted = subject.unsubscription
            async with self._context.database.transaction() as connection:
                await queries.set_mute(connection, muted.account_id, muted.kind, Channel.EMAIL, muted=True)
        return subject
