"""Signing in and out, the account, its sessions."""

import inspect
from collections.abc import Awaitable, Callable
from itertools import count
from uuid import UUID

import msgspec

from galaxy_client.calls.base import Calls, Id, identifier
from galaxy_client.errors import InvalidError, UnauthorizedError
from galaxy_client.models.accounts import Account, Challenge, Revoked, Session, SignedIn
from galaxy_client.models.base import Page
from galaxy_client.retries import Safety

PUBLIC, ACCOUNT, SESSIONS = "/api/v1/public/auth", "/api/v1/user/account", "/api/v1/user/sessions"
ATTEMPTS = 5
"""How often a code may be entered, as the server limits it."""

AskCode = Callable[[Challenge], str | Awaitable[str]]
"""Returns the code that came by mail; is called again, with a higher `attempt`, where it was wrong."""


class AccountCalls(Calls):
    """Signing in and out, the account, its sessions."""

    async def sign_in(
        self,
        email: str,
        code: AskCode,
        *,
        device_name: str | None = None,
        time_zone: str | None = None,
        language: str | None = None,
    ) -> SignedIn:
        """Sign in by a code that comes by mail; the client has the session from then on.

        Raise ThrottledError where codes were sent too often, UnauthorizedError for a code that was wrong five times or
        has expired. `device_name` names the session in lists; the others are for a new account.
        """
        body = _given(email=email, locale=language)
        sent = await self._do(Challenge, "POST", f"{PUBLIC}/send-email-code", body, safety=Safety.ONCE)
        extra = _given(device_name=device_name, time_zone=time_zone, language=language)
        for attempt in range(1, ATTEMPTS + 1):
            challenge = msgspec.structs.replace(sent, email=email, attempt=attempt)
            answer = code(challenge)
            given = await answer if inspect.isawaitable(answer) else answer
            body = {"challenge_id": str(sent.challenge_id), "code": given, **extra}
            try:
                signed_in = await self._do(SignedIn, "POST", f"{PUBLIC}/confirm-email-code", body, safety=Safety.ONCE)
            except (UnauthorizedError, InvalidError) as error:
                if attempt == ATTEMPTS or not _wrong_code(error):
                    raise
                continue
            self._caller.transport.authenticate(signed_in.session_token)
            return signed_in
        raise AssertionError("unreachable")

    async def sign_out(self) -> None:
        """End this client's session on the server, and forget its token. Without a session nothing is done."""
        if self._caller.transport.token is None:
            return
        try:
            current = await self._current_session()
            if current is not None:
                await self._do(type(None), "DELETE", f"{SESSIONS}/{current}")
        except UnauthorizedError:
            pass  # it has ended before, or by an attempt whose answer was lost
        self._caller.transport.authenticate(None)

    async def _current_session(self) -> UUID | None:
        for number in count(1):
            page = await self.sessions(page=number, page_size=200)
            found = next((each.id for each in page if each.current), None)
            if found is not None or not page.items or number * page.page_size >= page.total:
                return found
        raise AssertionError("unreachable")

    async def sessions(self, *, page: int = 1, page_size: int = 50) -> Page[Session]:
        """List your sessions."""
        return await self._get(Page[Session], SESSIONS, page=page, page_size=page_size)

    async def end_session(self, session_id: Id) -> None:
        """End one of your sessions."""
        await self._do(type(None), "DELETE", f"{SESSIONS}/{identifier(session_id)}")

    async def end_other_sessions(self) -> int:
        """End all of your sessions but this one, and return how many."""
        return (await self._do(Revoked, "DELETE", SESSIONS)).revoked

    async def account(self) -> Account:
        """Show your account."""
        return await self._get(Account, ACCOUNT)

    async def change_account(
        self, *, display_name: str | None = None, language: str | None = None, time_zone: str | None = None
    ) -> Account:
        """Change your profile; what is not given stays as it is."""
        body = _given(display_name=display_name, language=language, time_zone=time_zone)
        return await self._do(Account, "PATCH", ACCOUNT, body)

    async def delete_account(self) -> None:
        """Delete your account for good. The session ends with it."""
        await self._do(type(None), "DELETE", ACCOUNT)
        self._caller.transport.authenticate(None)


def _given(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value is not None}


def _wrong_code(error: UnauthorizedError | InvalidError) -> bool:
    """Return whether another code may be right: not where the challenge is closed."""
    return error.code == "code_wrong" or any(fault.field == "code" for fault in error.fields)
