"""The account's live events, over connections that come and go.

A stream is followed by its cursor: after a lost connection the next one continues behind the last event that was handed
over, so none is missed and none comes twice. Where the server cannot say what was missed, or there was no cursor yet to
continue from, `Resync` comes instead: read again whatever you show.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from galaxy_client.errors import AnswerError, ClosedError, GalaxyError, ProblemError, TransportError
from galaxy_client.sse import Message, OversizeError, Parser
from galaxy_client.transport import Request, Transport

PATH = "/api/v1/user/events"
RESYNC = "resync"
SILENCE = 45.0
"""Seconds without a byte after which a connection counts as dead: the server sends a comment every 15."""
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
"""Seconds between connections, where the server does not say."""
_PASSING = (408, 425, 429)
"""Statuses below 500 that pass; other ones would come for ever."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened: look again at what it names."""

    id: str | None
    """The cursor, with which `events` continues after this event."""
    kind: str
    """`lobby.turn_ready`, `session.revoked`, …: kinds that a client does not know are to be passed over."""
    data: Any
    """JSON, for example `{game_id, turn, notification_id}`."""


@dataclass(frozen=True, slots=True)
class Resync:
    """Events may have been missed: read your state again."""

    id: str | None


class EventStream:
    """Follows the events of one account."""

    def __init__(
        self,
        transport: Transport,
        *,
        sleep: Callable[[float], Awaitable[None]],
        random: Random,
        closed: asyncio.Event,
        silence: float,
        on_disconnect: Callable[[GalaxyError | None, float], None] | None,
    ) -> None:
        self._transport, self._sleep, self._random, self._closed = transport, sleep, random, closed
        self._silence = silence
        self._on_disconnect = on_disconnect
        self._cursor: str | None = None
        self._opened = False
        """Whether a connection was open before: what happens after its end must not be missed."""
        self._retry = _FIRST_DELAY
        self._failures = 0

    async def follow(self, cursor: str | None) -> AsyncGenerator[Event | Resync]:
        """Yield events after a cursor, or from now on, until the client is closed.

        Raise UnauthorizedError once the session has ended, and ProblemError for a refusal that does not pass.
        """
        self._cursor = cursor
        while not self._closed.is_set():
            error: GalaxyError | None = None
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        yield event
            except ClosedError:
                return
            except (TransportError, ProblemError) as failure:
                if not _passes(failure):
                    raise
                error = failure
            if not self._closed.is_set():
                await self._pause(error)

    async def _connection(self) -> AsyncGenerator[Event | Resync]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._cursor is not None:
            headers["Last-Event-ID"] = self._cursor
        parser = Parser()
        async with self._transport.stream(Request("GET", PATH, headers=headers), self._silence) as pieces:
            if self._opened and self._cursor is None:
                yield Resync(None)
            self._opened = True
            async for piece in pieces:
                messages = _parsed(parser, piece)
                self._failures = 0
                if parser.retry is not None:
                    self._retry = min(max(parser.retry, 0.1), _LONGEST_DELAY)
                for message in messages:
                    self._cursor = message.id or self._cursor
                    yield _event(message)
                self._cursor = parser.last_id or self._cursor

    async def _pause(self, error: GalaxyError | None) -> None:
        """Wait before the next connection, or until the client is closed."""
        self._failures += 1
        seconds = min(_LONGEST_DELAY, self._retry * 2.0 ** min(self._failures - 1, 60)) * self._random.uniform(0.5, 1)
        if isinstance(error, ProblemError) and error.retry_after is not None:
            seconds += min(error.retry_after, _LONGEST_DELAY)
        if self._on_disconnect is not None:
            self._on_disconnect(error, seconds)
        await _first_of(self._sleep(seconds), self._closed.wait())


def _parsed(parser: Parser, piece: bytes) -> list[Message]:
    try:
        return parser.feed(piece)
    except OversizeError as error:
        raise AnswerError(f"GET {PATH}: {error}") from None


def _event(message: Message) -> Event | Resync:
    if message.event == RESYNC:
        return Resync(message.id)
    data: Any = message.data
    with suppress(msgspec.DecodeError):  # what is not JSON is handed over as it is: one bad event ends no stream
        data = msgspec.json.decode(message.data)
    return Event(message.id, message.event, data)


def _passes(error: GalaxyError) -> bool:
    return not isinstance(error, ProblemError) or error.status >= 500 or error.status in _PASSING


async def _first_of(*awaitables: Awaitable[object]) -> None:
    """Wait for the first one and end the others."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
