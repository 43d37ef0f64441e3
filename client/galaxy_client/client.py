"""`Galaxy`: the client of one player at one server."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from random import Random, SystemRandom
from types import TracebackType

from galaxy_client.addresses import base_address
from galaxy_client.calls.accounts import AccountCalls
from galaxy_client.calls.games import GameCalls
from galaxy_client.calls.notifications import NotificationCalls
from galaxy_client.calls.orders import OrderCalls
from galaxy_client.errors import GalaxyError
from galaxy_client.events import SILENCE, Event, EventStream, Resync
from galaxy_client.retries import Caller, RetryPolicy, Sleep
from galaxy_client.transport import Transport


class Galaxy(AccountCalls, GameCalls, OrderCalls, NotificationCalls):
    """A player's client, made inside a running event loop; leave it as a context manager, or call `close`.

    Every call raises GalaxyError and nothing else for what goes wrong outside: ProblemError with status, code and
    detail where the server refused, TransportError where no answer came. `RetryPolicy` has its limits of time.

    The token goes to `base_url` alone, is followed nowhere, and is in no error, log line or `repr`.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        allow_insecure: bool = False,
        policy: RetryPolicy | None = None,
        sleep: Sleep = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """Raise ValueError for an address or token that cannot be one.

        `sleep` and `random` are for tests.
        """
        transport = Transport(base_address(base_url, allow_insecure=allow_insecure), token)
        super().__init__(Caller(transport, policy or RetryPolicy(), sleep=sleep, random=random or SystemRandom()))
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        """Return the address, and whether there is a token."""
        return f"Galaxy({self._caller.transport!r})"

    async def __aenter__(self) -> "Galaxy":
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connections and end the iteration over events. The session on the server goes on."""
        self._closed.set()
        await self._caller.transport.close()

    @property
    def token(self) -> str | None:
        """The session token, for a program that keeps it until its next run."""
        return self._caller.transport.token

    def events(
        self,
        last_event_id: str | None = None,
        *,
        silence: float = SILENCE,
        on_disconnect: Callable[[GalaxyError | None, float], None] | None = None,
    ) -> AsyncGenerator[Event | Resync]:
        """Iterate over your events, from now on or after the one whose id was kept.

        It goes on over lost connections and ends when the client is closed; UnauthorizedError ends it when the session
        has ended. Leave it early under `contextlib.aclosing`. `silence` are the seconds without a byte after which a
        connection counts as dead; `on_disconnect` is called with the reason and the seconds until the next connection.
        """
        stream = EventStream(
            self._caller.transport,
            sleep=self._caller.sleep,
            random=self._caller.random,
            closed=self._closed,
            silence=silence,
            on_disconnect=on_disconnect,
        )
        return stream.follow(last_event_id)
