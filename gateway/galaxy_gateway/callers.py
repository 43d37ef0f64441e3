"""Who calls: the account and the session behind a token, by the backend's introspection."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from galaxy_chassis.clock import Clock

Introspect = Callable[[str], Awaitable["Caller | None"]]
"""Return the caller behind a token, None for a token that is not good. Raise Problem when the backend is away."""

KEPT = 30.0
"""Seconds for which a caller is known without asking again. Whether a token is still good is the backend's to decide at
each request: this decides only under whose limits the request counts."""
CAPACITY = 50_000
"""Callers kept; the one not used for longest is dropped."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An account, and the session that it calls with."""

    account_id: str
    session_id: str
    expires_at: datetime | None
    """When the session ends even if it is used."""


class Callers:
    """The callers of the last half minute, by the digest of their token."""

    def __init__(self, introspect: Introspect, clock: Clock) -> None:
        self._introspect, self._clock = introspect, clock
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._sessions: dict[str, bytes] = {}
        """The digest of each session's token: a session has one."""
        self._asked: dict[bytes, asyncio.Task[Caller | None]] = {}

    def known(self, token: str) -> Caller | None:
        """Return the caller, if it was asked about lately."""
        key = _digest(token)
        found = self._known.get(key)
        if found is None:
            return None
        caller, until = found
        if until <= self._clock.monotonic():
            self.forget(caller.session_id)
            return None
        self._known.move_to_end(key)
        return caller

    async def ask(self, token: str) -> Caller | None:
        """Ask the backend, once for all who ask at the same time. Raise Problem when it is away."""
        key = _digest(token)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key, token), name="introspection")
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(task)

    def forget(self, session_id: str) -> None:
        """Forget a session that has ended."""
        key = self._sessions.pop(session_id, None)
        if key is not None:
            del self._known[key]

    def forget_all(self) -> None:
        """Forget everybody: sessions may have ended without word of it."""
        self._known.clear()
        self._sessions.clear()

    async def _ask(self, key: bytes, token: str) -> Caller | None:
        caller = await self._introspect(token)
        if caller is not None:
            self.forget(caller.session_id)
            self._known[key], self._sessions[caller.session_id] = (caller, self._clock.monotonic() + KEPT), key
            if len(self._known) > CAPACITY:
                self.forget(next(iter(self._known.values()))[0].session_id)
        return caller


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
