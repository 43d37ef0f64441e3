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

A deletion reaches challenges by the fact `AccountDeleted`: `forget` waits for every `send` under way, by the lock of
the mailbox, and then closes what was written before the deletion. A `confirm` that comes between the deletion and its
fact would make a new account of an old challenge: it finds the fact undelivered, and is refused.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from galaxy_auth import queries
from galaxy_auth.domain import (
    STRANGERS,
    ClientKeys,
    Sent,
    Session,
    address_key,
    client_keys,
    code_hash,
    mailbox_key,
    new_challenge_id,
    new_code,
    refusal,
    spaced,
    tries_allowed,
)
from galaxy_auth.metrics import Security
from galaxy_auth.notices import tell_of_device
from galaxy_auth.sessions import SessionService
from galaxy_auth.settings import AuthSettings
from galaxy_contracts.accounts import ACCOUNTS, Account, AccountDeleted, Registration
from galaxy_contracts.formats import Address, parse_address
from galaxy_contracts.geo import COUNTRIES
from galaxy_contracts.mail import OUTBOX, MailKind, Message
from galaxy_contracts.sessions import SessionStarted
from galaxy_kernel.api import Connection, Context, Problem, advisory_lock, after_commit, found_work, invalid, throttled

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
    """Determines the country of a new account, and the network that is known to it from now on; it is not stored."""
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
        self._context, self._sessions, self._security = context, sessions, Security(context)

    async def send(self, email: str, locale: str | None, client_address: str) -> Challenge:
        """Send a code to an address.

        Raise ValueError for anything that is not an address, and the problem 429 with the seconds left to wait.
        """
        context, address = self._context, parse_address(email)
        mailbox, keys = self._mailbox_key(address), self._client_keys(client_address)
        code = new_code(context.random)
        async with context.database.transaction() as connection:
            await advisory_lock(connection, _lock(mailbox), _lock(keys.network))  # the network's covers what is in it
            sent = await self._throttle(connection, address, mailbox, keys)
            now = context.clock.now()
            challenge = Challenge(new_challenge_id(context.random), now + context.settings.code_ttl)
            row = {
                "id": challenge.id,
                "email": address.typed,
                "locale": locale,
                "address_key": self._address_key(address),
                "mailbox_key": mailbox,
                "client_key": keys.client,
                "site_key": keys.site,
                "network_key": keys.network,
                "known": sent.known,
                "tries_allowed": tries_allowed(sent),
                "code_hash": code_hash(context.derive_key("code"), challenge.id, code),
                "created_at": now,
                "expires_at": challenge.expires_at,
            }
            await queries.insert_challenge(connection, row)
            await self._enqueue(connection, address, locale, challenge, code)
            after_commit(connection, self._security.code_sent)
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
        """Delete what no throttle counts any longer, and the addresses of challenges that have expired."""
        async with self._context.database.transaction() as connection:
            found_work(await queries.prune_challenges(connection, self._context.clock.now()))
        return False

    async def forget(self, connection: Connection, account_id: UUID, email: str, until: datetime) -> None:
        """Remove what is kept of an account that was deleted at `until`: by its id, and by its address."""
        await queries.forget_networks(connection, account_id)
        try:
            address = parse_address(email)
        except ValueError:
            return
        await advisory_lock(connection, _lock(self._mailbox_key(address)))  # waits for codes being sent
        await queries.scrub_challenges(connection, self._address_key(address), until)

    def _address_key(self, address: Address) -> bytes:
        return address_key(self._context.derive_key("throttle"), address.folded)

    def _mailbox_key(self, address: Address) -> bytes:
        return mailbox_key(self._context.derive_key("throttle"), address.folded)

    def _client_keys(self, client_address: str) -> ClientKeys:
        return client_keys(self._context.derive_key("throttle"), client_address)

    async def _throttle(self, connection: Connection, address: Address, mailbox: bytes, keys: ClientKeys) -> Sent:
        """Return the input of the throttles. Raise 429 `too_many_requests` when one of them holds."""
        settings, now = self._context.settings, self._context.clock.now()
        per_mailbox, per_client = settings.codes_per_email_per_day, settings.codes_per_ip_per_hour
        allowed = {
            "newest": 1,
            "own_newest": 1,
            "here": per_mailbox,
            "own_here": per_mailbox,
            "strangers": STRANGERS * per_mailbox,
            "client": per_client,
            "site": 2 * per_client,
            "network": 4 * per_client,
            "everybody": settings.codes_per_hour,
            "wrong": settings.wrong_codes_per_hour,
        }
        sent = await queries.find_sent(connection, mailbox, keys, now, allowed=allowed)
        refused = refusal(sent, now, settings.resend_interval)
        if refused is not None:
            throttle, wait = refused
            self._security.refused(address.folded, throttle, wait.total_seconds())
            raise throttled("Too many codes were requested: wait, then ask again.", wait.total_seconds())
        return sent

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
            return _closed()
        expected = code_hash(self._context.derive_key("code"), given.challenge_id, given.code)
        if not hmac.compare_digest(challenge.code_hash, expected):
            await queries.insert_wrong_code(connection, now)
            self._security.code_wrong(challenge.email, left=challenge.left)
            return _wrong(challenge.left)
        await queries.redeem_challenge(connection, given.challenge_id, now)
        language = given.language or challenge.locale or "en"
        countries = self._context.find(COUNTRIES)
        country = None if countries is None else countries.country_of(given.client_address)
        registration = Registration(challenge.email, language, given.time_zone or "UTC", country)
        account, created = await self._context.require(ACCOUNTS).find_or_create(connection, registration)
        if created and await self._is_deleted(connection, challenge.email, challenge.written_at):
            raise _closed()  # inside the transaction: there is no new account
        if not account.active:
            return Problem(403, "account_blocked", "This account is blocked. Ask the operators of this server why.")
        if challenge.mailbox_key is not None:
            site = self._client_keys(given.client_address).site
            await queries.know_network(connection, challenge.mailbox_key, site, account.id, now)
        session, token = await self._sessions.start(connection, account.id, given.device_name)
        started = SessionStarted(account.id, session.id, session.device_name, first=created)
        await self._context.facts.record(connection, started)
        after_commit(connection, partial(self._security.signed_in, new=created))
        if not created:
            await tell_of_device(self._context, connection, account, session)
        return SignIn(account, session, token)

    async def _is_deleted(self, connection: Connection, email: str, written_at: datetime) -> bool:
        """Return whether the account of a challenge was deleted, by a fact that has not been delivered here yet."""
        folded = parse_address(email).folded
        for fact in await self._context.facts.undelivered(connection, self._context.plugin, AccountDeleted):
            if written_at <= fact.deleted_at and parse_address(fact.email).folded == folded:
                return True
        return False


def _lock(key: bytes) -> str:
    return f"auth/{key.hex()}"


def _closed() -> Problem:
    return Problem(401, "challenge_closed", "The code has expired or was used up: ask for a new one.")


def _wrong(left: int) -> Problem:
    if left == 0:
        return Problem(401, "code_wrong", "The code is wrong, and that was the last attempt: ask for a new one.")
    tries = "one attempt" if left == 1 else f"{left} tries"
    return Problem(401, "code_wrong", f"The code is wrong: {tries} left.")
