"""Following events over connections that come and go."""

import asyncio
from contextlib import aclosing
from random import Random

import pytest
from scripted_server import LOST, Server, Waits, answer, client, problem, stream

from galaxy_client import AnswerError, Event, Galaxy, GalaxyError, NotFoundError, Resync, UnauthorizedError

ENDED = problem(401, "unauthenticated")


def message(number: int, kind: str = "lobby.turn_ready") -> bytes:
    return f'id: g-{number}\nevent: {kind}\ndata: {{"turn": {number}}}\n\n'.encode()


async def followed(server: Server, last_event_id: str | None = None, waits: Waits | None = None) -> list[object]:
    """Return all events until the session has ended."""
    found: list[object] = []
    async with client(server, waits=waits) as galaxy:
        with pytest.raises(UnauthorizedError):
            async for event in galaxy.events(last_event_id):
                found.append(event)  # noqa: PERF401 - what came before the error is kept
    return found


async def test_from_connection_to_connection() -> None:
    """Each connection continues behind the last event; the iteration ends when the session has."""
    script = [
        stream(b"retry: 3000\n\n", message(1), message(2)),
        LOST,
        stream(b": heartbeat\n\n", message(3)),
        stream(message(4)[:20]),
        stream(message(4)),
        ENDED,
    ]
    async with Server(script) as server:
        found = await followed(server)
    assert found == [Event(f"g-{number}", "lobby.turn_ready", {"turn": number}) for number in (1, 2, 3, 4)]
    cursors = [each.headers.get("last-event-id") for each in server.received]
    assert cursors == [None, "g-2", "g-2", "g-3", "g-3", "g-4"]
    assert {each.path for each in server.received} == {"/api/v1/user/events"}


async def test_a_kept_cursor() -> None:
    """A program that kept an event's id continues after it."""
    async with Server([stream(message(8)), ENDED]) as server:
        await followed(server, "g-7")
    assert server.received[0].headers["last-event-id"] == "g-7"


async def test_resync() -> None:
    """What the server cannot repeat is said, and its new cursor is followed."""
    async with Server([stream(b"id: h-9\nevent: resync\ndata: {}\n\n"), ENDED]) as server:
        assert await followed(server, "g-1") == [Resync("h-9")]
    assert server.received[1].headers["last-event-id"] == "h-9"


async def test_a_gap_without_a_cursor() -> None:
    """Where the first connection brought no cursor, what happened until the second one is unknown: resync."""
    async with Server([LOST, stream(b": hello\n\n"), stream(message(1)), ENDED]) as server:
        found = await followed(server)
    assert found == [Resync(None), Event("g-1", "lobby.turn_ready", {"turn": 1})]


async def test_a_cursor_without_an_event() -> None:
    """The opening block and heartbeats move the cursor, so that a long silence is resumed without a gap or a replay."""
    script = [stream(b"retry: 3000\nid: g-4\n\n"), LOST, stream(b":\nid: g-9\n\n", b"id: g-10\n"), ENDED]
    async with Server(script) as server:
        assert await followed(server) == []
    assert [each.headers.get("last-event-id") for each in server.received] == [None, "g-4", "g-4", "g-9"]


async def test_delays_between_connections() -> None:
    """They grow while nothing comes, begin again after bytes have come, and follow what the server asks for."""
    waits = Waits()
    script = [
        *(LOST, LOST, LOST),
        stream(b"retry: 8000\n\n"),
        stream(message(1)),
        problem(503, "stopping", Retry_After="20"),
        ENDED,
    ]
    async with Server(script) as server:
        await followed(server, waits=waits)
    bounds = [(0.5, 1), (1, 2), (2, 4), (4, 8), (4, 8), (28, 36)]
    assert [low <= seconds <= high for seconds, (low, high) in zip(waits.seconds, bounds, strict=True)] == [True] * 6


async def test_delays_are_bounded() -> None:
    """However long a server is away, it is asked once a minute."""
    waits = Waits()
    async with Server([*[LOST] * 100, ENDED]) as server:
        await followed(server, waits=waits)
    assert 30 <= waits.seconds[-1] <= 60


async def test_a_silent_connection() -> None:
    """A connection on which nothing comes, heartbeats neither, is given up and made again."""
    forever = asyncio.Event()
    reasons: list[GalaxyError | None] = []
    async with Server([stream(message(1), hold=forever), ENDED]) as server, client(server) as galaxy:
        with pytest.raises(UnauthorizedError):
            async for _ in galaxy.events(silence=0.2, on_disconnect=lambda error, _: reasons.append(error)):
                pass
    assert server.received[1].headers["last-event-id"] == "g-1"
    assert "was lost" in str(reasons[0])


async def test_closing_the_client_ends_it() -> None:
    """An open stream ends without an error when the client is closed."""
    forever = asyncio.Event()
    async with Server([stream(message(1), hold=forever)]) as server:
        galaxy = client(server)
        async for _ in galaxy.events():
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(galaxy.close()))
    assert len(server.received) == 1


async def test_closing_the_client_ends_a_wait() -> None:
    """It does not wait out the time until the next connection."""
    async with Server([LOST]) as server:
        galaxy = Galaxy(server.address, "t", random=Random(1), sleep=lambda _: asyncio.sleep(3600))

        def close(*_: object) -> None:
            closing.append(asyncio.ensure_future(galaxy.close()))

        closing: list[asyncio.Future[None]] = []
        assert [event async for event in galaxy.events(on_disconnect=close)] == []
        await asyncio.gather(*closing)


async def test_leaving_early_closes_the_connection() -> None:
    """Under `aclosing` the connection ends with the block."""
    ended = asyncio.Event()

    async def step(writer: asyncio.StreamWriter) -> None:
        await stream(message(1))(writer)
        while not writer.is_closing():
            writer.write(b": heartbeat\n\n")
            await asyncio.sleep(0)
        ended.set()

    async with Server([step]) as server, client(server) as galaxy:
        async with aclosing(galaxy.events()) as events:
            async for event in events:
                assert isinstance(event, Event)
                break
        async with asyncio.timeout(10):
            await ended.wait()


async def test_refusals_that_do_not_pass() -> None:
    """A server without events, or that refuses them, is not asked for ever; nor is a page taken for a stream."""
    for step, expected in ((problem(404, "not_found"), NotFoundError), (answer(200, {}), AnswerError)):
        async with Server([step]) as server, client(server) as galaxy:
            with pytest.raises(expected):
                async for _ in galaxy.events():
                    pass
        assert len(server.received) == 1


async def test_data_that_is_not_json() -> None:
    """It is handed over as text, and the stream goes on."""
    async with Server([stream(b"id: 1\nevent: note\ndata: hello\n\n", message(2)), ENDED]) as server:
        found = await followed(server)
    assert found[0] == Event("1", "note", "hello")
    assert len(found) == 2
