"""The plugin's HTTP operations (SPEC A-1, A-2, A-5, A-6)."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from galaxy_auth.domain import device_hint, language_hint, parse_code, time_zone_hint
from galaxy_auth.service import Confirmation, SignInService
from galaxy_auth.sessions import SessionService
from galaxy_kernel.api import (
    Access,
    Call,
    Described,
    Email,
    Model,
    Page,
    Paging,
    Route,
    Timestamp,
)

UNKNOWN_DEVICE = "Unknown device"


Code = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(parse_code),
    Described(pattern=r"^[ -]*([0-9][ -]*){8}$", examples=["1234 5678"]),
]
LanguageHint = Annotated[str | None, AfterValidator(language_hint)]
"""Clients gather these from their systems, and a person who signs in cannot mend them: they are tidied or dropped."""
TimeZoneHint = Annotated[str | None, AfterValidator(time_zone_hint)]
DeviceHint = Annotated[str | None, AfterValidator(device_hint)]


class SendCode(Model):
    """A request for a sign-in code."""

    email: Email
    """The address for the code."""
    locale: LanguageHint = None
    """BCP 47 tag: the language of the mail, and of the account if it is new. Anything else is not used."""


class SentCode(Model):
    """A challenge, whose code is sent if the address exists."""

    challenge_id: UUID
    """Identifies the challenge in the confirmation."""
    expires_at: Timestamp
    """When the code expires."""


class ConfirmCode(Model):
    """A code from the mail. The other fields are for a new account."""

    challenge_id: UUID
    code: Code
    """Eight digits; spaces and hyphens between them do not matter."""
    device_name: DeviceHint = None
    """The name of the device in the list of sessions, cut to 80 characters."""
    time_zone: TimeZoneHint = None
    """Name in the IANA database. Anything else is not used."""
    language: LanguageHint = None
    """BCP 47 tag. Anything else is not used."""


class SignedInAccount(Model):
    """The signed-in account, as `GET /api/v1/user/account` shows it."""

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
    """The token for routes of access `user`, as `Authorization: Bearer <session_token>`. It is shown only here."""
    session_id: UUID
    account: SignedInAccount


class SessionView(Model):
    """One of your sessions."""

    id: UUID
    device_name: str
    created_at: Timestamp
    last_seen_at: Timestamp
    """Exact to five minutes."""
    expires_at: Timestamp
    """When it ends even if it is used."""
    current: bool
    """Whether it is the session of this request."""


class Revoked(Model):
    """The result of ending sessions."""

    revoked: int
    """The number of ended sessions."""


class Introspect(Model):
    """A token to introspect."""

    session_token: Annotated[str, StringConstraints(max_length=512)]


class Introspection(Model):
    """The state of a token, after RFC 7662; the other fields are null unless it is active."""

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
        """The answer is the same whether the address has an account or not. The mail is queued with the challenge; its
        code of eight digits is good for five minutes and five attempts. Repeated requests are throttled by address and
        by client network.
        """
        challenge = await service.send(body.email, body.locale, call.client_address)
        return SentCode(challenge_id=challenge.id, expires_at=challenge.expires_at)

    async def confirm(call: Call, body: ConfirmCode) -> SignedIn:
        """Redeems a challenge, once. An address without an account gets one, with what the body says of language and
        time zone. A wrong code costs one attempt; a challenge that is unknown, expired, redeemed or out of attempts is
        closed. The token is shown only here.
        """
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
            summary="Send a sign-in code by e-mail.",
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
        """The newest first, without those that have expired."""
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
        """Its token is refused within a second, and its streams of live events end. It may be the session of this
        request.
        """
        await service.revoke(call.user.account_id, session_id)

    async def revoke_others(call: Call) -> Revoked:
        """All but the session of this request: their tokens are refused within a second, and their streams of live
        events end.
        """
        return Revoked(revoked=await service.revoke_others(call.user.account_id, call.user.session_id))

    path, one, user = "/api/v1/user/sessions", "/api/v1/user/sessions/{session_id}", Access.USER
    return (
        Route("GET", path, list_sessions, "auth.sessions", "List your sessions.", user),
        Route("DELETE", path, revoke_others, "auth.revoke_others", "End your other sessions.", user),
        Route("DELETE", one, revoke, "auth.revoke", "End one of your sessions.", user, errors=("404 not_found",)),
    )


def _introspect_route(service: SessionService) -> Route:
    async def introspect(body: Introspect) -> Introspection:
        """For the gateway: the account and the session behind a token, after RFC 7662. It does not count as a use of
        the session. A token that opens nothing is not an error: `active` is false.
        """
        identity = service.identify(body.session_token)  # not counted: it is not a request of the player
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
        summary="Introspect a session token.",
        access=Access.INTERNAL,
    )
