"""The HTTP operations behind a link (SPEC N-8, RFC 8058): a page, and the POST that mutes."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from galaxy_kernel.api import Access, Html, Model, Response, Route
from galaxy_notification.unsubscribe.domain import PATH
from galaxy_notification.unsubscribe.page import Outcome, Page
from galaxy_notification.unsubscribe.service import Subject, UnsubscribeService

_MAX_BODY = 4096
_STATUS = {Outcome.INVALID: 404, Outcome.MANDATORY: 409}


class OneClick(Model):
    """What mail providers send for their user, and the page's button for its reader."""

    list_unsubscribe: Literal["One-Click"] = Field(alias="List-Unsubscribe")


def routes(service: UnsubscribeService) -> Sequence[Route]:
    """Return the operations of links."""
    page = Page()

    async def show(token: str) -> Response[Html]:
        """A page for people, in their language, with a button that does it. The link needs no session; one that is not
        valid answers 404.
        """
        return answer(service.find(token), Outcome.QUESTION)

    async def unsubscribe(token: str, form: OneClick) -> Response[Html]:  # noqa: ARG001  read to be checked
        """As mail providers send it, and as the page's button does. It mutes the kind by mail; again changes nothing.
        The answer is a page: 404 for a link that is not valid, 409 for a kind that cannot be switched off any more.
        """
        return answer(await service.unsubscribe(token), Outcome.DONE)

    def answer(subject: Subject | None, outcome: Outcome) -> Response[Html]:
        if subject is None:
            return respond(Outcome.INVALID, page.render(Outcome.INVALID))
        if subject.mandatory:
            outcome = Outcome.MANDATORY
        return respond(outcome, page.render(outcome, subject.language, subject.summary))

    def respond(outcome: Outcome, document: str) -> Response[Html]:
        return Response(Html(document), _STATUS.get(outcome), page.headers)

    path, public, gone = f"{PATH}/{{token}}", Access.PUBLIC, tuple(_STATUS.values())
    return (
        Route(
            "GET",
            path,
            show,
            "notification.show_unsubscribe",
            "Show what a link in a mail switches off.",
            public,
            statuses=gone,
        ),
        Route(
            "POST",
            path,
            unsubscribe,
            "notification.unsubscribe",
            "Switch off mails of the link's kind, by one click (RFC 8058).",
            public,
            max_body=_MAX_BODY,
            statuses=gone,
        ),
    )
