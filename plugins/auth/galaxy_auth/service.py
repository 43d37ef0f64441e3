"""Sign-in: a code to the mailbox, and a session for its confirmation.

What happens if the process dies between any two lines:

- `send` is one transaction of the locks, the throttles, the challenge and its mail. Before the COMMIT nothing has
  happened: no mail is sent, nothing is counted. After it both rows exist: any replica sends the mail, and a caller that
  did not receive the challenge's id asks again after the interval.
- `confirm` is one transaction too. Before the COMMIT the attempt is not counted, so the same code may be sent again. A
  wrong code commits its attempt before the answer is sent, so that cutting the connection gains no attempts. After the
  COMMIT of a right code account, session, change in the feed, fact and notification exist, and the challenge is closed;
  a caller that did not receive the answer asks for a new code, and the session with the unknown token expires unused.

A code is valid for its own challenge only: requests of others for the same address close no challenge and use none of
its attempts. `send` does not read accounts, so the answer is the same whether there is one or not (SPEC A-1).
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from galaxy_auth import queries
from galaxy_auth.domain import (
    CHALLENGES_KEPT,
    MAX_TRIES,
    Session,
    address_key,
    client_key,
    code_hash,
    new_challenge_id,
    new_code,
    spaced,
    wait_for,
)
from galaxy_auth.notices import tell_of_device
from galaxy_auth.sessions import SessionService
from galaxy_auth.settings import AuthSettings
from galaxy_contracts.accounts import ACCOUNTS, Account, Registration
from galaxy_contracts.formats import Address, parse_address
from galaxy_contracts.geo import COUNTRIES
from galaxy_contracts.mail import OUTBOX, MailKind, Message
from galaxy_contracts.sessions import SessionStarted
from galaxy_kernel.api import Connection, Context, Problem, advisory_lock, invalid, throttled

SIGN_IN_CODE = MailKind(
    name="auth.sign_in_code", package="galaxy_auth", secret=True, example={"code": "1234 5678", "minutes": 5}
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The answer to a request for a code."""

    id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A code and the caller's data for a new account, all checked for their form."""

    challenge_id: UUID
    code: str
    device_name: str
    client_address: str
    """Determines the country of a new account; it is not stored."""
    time_zone: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """A new session with its token, which is not stored."""

    account: Account
    session: Session
    token: str


class SignInService:
    """Sends and redeems codes."""

    def __init__(self, context: Context[AuthSettings], sessions: SessionService) -> None:
        self._context, self._sessions = context, sessions

    async def send(self, email: str, locale: str | None, client_address: str) -> Challenge:
        """Send a code to an address.

        Raise ValueError for anything that is not an address, and the problem 429 with the seconds left to wait.
        """
        context, settings = self._context, self._context.settings
        address, now = parse_address(email), context.clock.now()
        by_address = self._address_key(address)
        by_client = client_key(context.derive_key("throttle"), client_address)
        challenge = Challenge(new_challenge_id(context.random), now + settings.code_ttl)
        code = new_code(context.random)
        row = {
            "id": challenge.id,
            "email": address.typed,
            "locale": locale,
            "address_key": by_address,
            "client_key": by_client,
            "code_hash": code_hash(context.derive_key("code"), challenge.id, code),
            "created_at": now,
            "expires_at": challenge.expires_at,
        }
        async with context.database.transaction() as connection:
            await advisory_lock(connection, f"auth/{by_address.hex()}", f"auth/{by_client.hex()}")
            await self._throttle(connection, by_address, by_client)
            await queries.insert_challenge(connection, row)
            await self._enqueue(connection, address, locale, challenge, code)
        return challenge

    async def confirm(self, confirmation: Confirmation) -> SignIn:
        """Redeem a code.

        Raise the problems 401 `challenge_closed` and `code_wrong`, and 403 `account_blocked` (after the right code).
        """
        async with self._context.database.transaction() as connection:
            outcome = await self._redeem(connection, confirmation)
        if isinstance(outcome, Problem):  # raised after the transaction, so that the attempt has been committed
            raise outcome
        return outcome

    async def prune(self) -> bool:
        """Delete challenges that no throttle counts any longer."""
        async with self._context.database.transaction() as connection:
            await queries.delete_challenges(connection, self._context.clock.now() - CHALLENGES_KEPT)
        return False

    async def forget(self, connection: Connection, email: str, until: datetime) -> None:
        """Remove the address of an account that was deleted at `until` from its challenges."""
        try:
            address = parse_address(email)
        except ValueError:
            return
        await queries.scrub_challenges(connection, self._address_key(address), until)

    def _address_key(self, address: Address) -> bytes:
        return address_key(self._context.derive_key("throttle"), address.folded)

    async def _throttle(self, connection: Connection, by_address: bytes, by_client: bytes) -> None:
        settings, now = self._context.settings, self._context.clock.now()
        sent = await queries.find_sent(
            connection,
            by_address,
            by_client,
            now,
            per_address=settings.codes_per_email_per_day,
            per_client=settings.codes_per_ip_per_hour,
        )
        wait = wait_for(sent, now, settings.resend_interval)
        if wait > timedelta(0):
            raise throttled("Too many codes were requested: wait, then ask again.", wait.total_seconds())

    async def _enqueue(
        self, connection: Connection, address: Address, locale: str | None, challenge: Challenge, code: str
    ) -> None:
        minutes = -(-self._context.settings.code_ttl // timedelta(minutes=1))
        message = Message(
            kind=SIGN_IN_CODE.name,
            recipient=address.typed,
            language=locale or SIGN_IN_CODE.default_language,
            parameters={"code": spaced(code), "minutes": minutes},
            idempotency_key=str(challenge.id),
            expires_at=challenge.expires_at,
        )
        try:
            await self._context.require(OUTBOX).enqueue(connection, message)
        except ValueError:  # another implementation of the outbox may accept fewer addresses than our format does
            raise invalid("email", "is an address that no mail can be sent to") from None

    async def _redeem(self, connection: Connection, given: Confirmation) -> SignIn | Problem:
        now = self._context.clock.now()
        challenge = await queries.spend_try(connection, given.challenge_id, now)
        if challenge is None:
            return Problem(401, "challenge_closed", "The code has expired or was used up: ask for a new one.")
        expected = code_hash(self._context.derive_key("code"), given.challenge_id, given.code)
        if not hmac.compare_digest(challenge.code_hash, expected):
            return _wrong(MAX_TRIES - challenge.tries)
        await queries.redeem_challenge(connection, given.challenge_id, now)
        language = given.language or challenge.locale or "en"
        countries = self._context.find(COUNTRIES)
        country = None if countries is None else countries.country_of(given.client_address)
        registration = Registration(challenge.email, language, given.time_zone or "UTC", country)
        account, created = await self._context.require(ACCOUNTS).find_or_create(connection, registration)
        if not account.active:
            return Problem(403, "account_blocked", "This account is blocked. Ask the operators of this server why.")
        session, token = await self._sessions.start(connection, account.id, given.device_name)
        started = SessionStarted(account.id, session.id, session.device_name, first=created)
        await self._context.facts.record(connection, started)
        if not created:
            await tell_of_device(self._context, connection, account, session)
        return SignIn(account, session, token)


def _wrong(left: int) -> Problem:
    if left == 0:
        return Problem(401, "code_wrong", "The code is wrong, and that was the last attempt: ask for a new one.")
    tries = "one attempt" if left == 1 else f"{left} tries"
    return Problem(401, "code_wrong", f"The code is wrong: {tries} left.")
