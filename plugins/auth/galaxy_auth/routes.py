"""The plugin's HTTP operations (SPEC A-1, A-2, A-5, A-6)."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from galaxy_auth.domain import parse_code
from galaxy_auth.service import Confirmation, SignInService
from galaxy_auth.sessions import SessionService
from galaxy_kernel.api import (
    Access,
    Call,
    DisplayName,
    Email,
    Language,
    Model,
    Page,
    Paging,
    Route,
    Timestamp,
    TimeZone,
)

UNKNOWN_DEVICE = "Unknown device"


Code = Annotated[str, StringConstraints(max_length=64), AfterValidator(parse_code)]


class SendCode(Model):
    """Who wants to sign in."""

    email: Email
    """Where the code goes."""
    locale: Language | None = None
    """BCP 47 tag: the language of the mail, and of the account if it is new."""


class SentCode(Model):
    """A code is on its way, if the address exists."""

    challenge_id: UUID
    """Names the code when it is given: keep it where it was asked for."""
    expires_at: Timestamp
    """When the code ceases to work."""


class ConfirmCode(Model):
    """A code as it came by mail. What else is given is for the account if it is new."""

    challenge_id: UUID
    code: Code
    """Eight digits; spaces and hyphens between them do not matter."""
    device_name: DisplayName | None = None
    """What the player will see in the list of sessions."""
    time_zone: TimeZone | None = None
    """Name in the IANA database."""
    language: Language | None = None
    """BCP 47 tag."""


class SignedInAccount(Model):
    """The account of who has signed in, as `GET /api/v1/user/account` shows it."""

    id: UUID
    email: str | None
    display_name: str
    language: str
    time_zone: str
    declared_country: str | None
    created_at: Timestamp


class SignedIn(Model):
    """A new session."""

    session_token: str
    """Opens the routes of access `user` as `Authorization: Bearer <session_token>`. It is shown only here."""
    session_id: UUID
    account: SignedInAccount


class SessionView(Model):
    """One of your sessions."""

    id: UUID
    device_name: str
    created_at: Timestamp
    last_seen_at: Timestamp
    """To within five minutes."""
    expires_at: Timestamp
    """When it ends even if it is used."""
    current: bool
    """Whether it is the one that asks."""


class Revoked(Model):
    """What was ended."""

    revoked: int
    """How many sessions."""


class Introspect(Model):
    """A token to look at."""

    session_token: Annotated[str, StringConstraints(max_length=512)]


class Introspection(Model):
    """What a token opens, in the manner of RFC 7662; the other fields are null unless it is active."""

    active: bool
    account_id: UUID | None = None
    session_id: UUID | None = None
    expires_at: Timestamp | None = None
    """When the session ends even if it is used."""


def routes(sign_in: SignInService, sessions: SessionService) -> Sequence[Route]:
    """Return the plugin's routes."""
    return (*_sign_in_routes(sign_in), *_session_routes(sessions), _introspect_route(sessions))


def _sign_in_routes(service: SignInService) -> Sequence[Route]:
    async def send(call: Call, body: SendCode) -> SentCode:
        challenge = await service.send(body.email, body.locale, call.client_address)
        return SentCode(challenge_id=challenge.id, expires_at=challenge.expires_at)

    async def confirm(call: Call, body: ConfirmCode) -> SignedIn:
        device_name = body.device_name or UNKNOWN_DEVICE
        given = Confirmation(
            body.challenge_id, body.code, device_name, call.client_address, body.time_zone, body.language
        )
        signed_in = await service.confirm(given)
        account = SignedInAccount.of(signed_in.account)
        return SignedIn(session_token=signed_in.token, session_id=signed_in.session.id, account=account)

    path = "/api/v1/public/auth"
    return (
        Route(
            "POST",
            f"{path}/send-email-code",
            send,
            name="auth.send_email_code",
            summary="Ask for a sign-in code by e-mail.",
            access=Access.PUBLIC,
            status=202,
            errors=("429 too_many_requests",),
        ),
        Route(
            "POST",
            f"{path}/confirm-email-code",
            confirm,
            name="auth.confirm_email_code",
            summary="Sign in with the code.",
            access=Access.PUBLIC,
            status=201,
            errors=("401 code_wrong", "401 challenge_closed", "403 account_blocked"),
        ),
    )


def _session_routes(service: SessionService) -> Sequence[Route]:
    async def list_sessions(call: Call, query: Paging) -> Page[SessionView]:
        found, total = await service.list_sessions(call.user.account_id, query)
        items = [
            SessionView(
                id=each.id,
                device_name=each.device_name,
                created_at=each.created_at,
                last_seen_at=each.last_seen_at,
                expires_at=each.expires_at,
                current=each.id == call.user.session_id,
            )
            for each in found
        ]
        return query.page_of(items, total)

    async def revoke(call: Call, session_id: UUID) -> None:
        await service.revoke(call.user.account_id, session_id)

    async def revoke_others(call: Call) -> Revoked:
        return Revoked(revoked=await service.revoke_others(call.user.account_id, call.user.session_id))

    path, one, user = "/api/v1/user/sessions", "/api/v1/user/sessions/{session_id}", Access.USER
    return (
        Route("GET", path, list_sessions, "auth.sessions", "List your sessions.", user),
        Route("DELETE", path, revoke_others, "auth.revoke_others", "End your other sessions.", user),
        Route("DELETE", one, revoke, "auth.revoke", "End one of your sessions.", user, errors=("404 not_found",)),
    )


def _introspect_route(service: SessionService) -> Route:
    async def introspect(body: Introspect) -> Introspection:
        identity = service.identify(body.session_token)  # not counted: it is no request of the player's
        if identity is None:
            return Introspection(active=False)
        return Introspection(
            active=True,
            account_id=identity.account_id,
            session_id=identity.session_id,
            expires_at=identity.expires_at,
        )

    return Route(
        "POST",
        "/api/v1/internal/sessions/introspect",
        introspect,
        name="auth.introspect",
        summary="Tell what a session token opens.",
        access=Access.INTERNAL,
    )
