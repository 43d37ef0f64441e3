"""The order of events: numbers are assigned after the commit, one numbering at a time."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from galaxy_kernel.api import is_unavailable
from galaxy_push import queries
from galaxy_push.domain import Draft

STEPS = st.lists(
    st.tuples(st.sampled_from(["publish", "publish", "commit", "rollback", "number", "read"]), st.integers(0, 3)),
    max_size=40,
)


class Interleaving:
    """Some transactions open at once, a numberer and a reader, in any order of steps."""

    def __init__(self, backend: Any, start: int) -> None:
        self.backend, self.cursor = backend, start
        self.open: dict[int, tuple[Any, Any, list[str]]] = {}
        self.committed: list[tuple[int, str]] = []
        """The committed events, with the number of the numbering before which they committed."""
        self.numberings = 0
        self.heard: list[Any] = []

    async def step(self, what: str, which: int) -> None:
        """Do one step."""
        match what:
            case "publish":
                await self._publish(which)
            case "commit" | "rollback":
                await self._end(which, commit=what == "commit")
            case "number":
                async with self.backend.database.transaction() as connection:
                    await queries.number(connection, queries.Seen())
                self.numberings += 1
            case "read":
                async with self.backend.database.reading() as connection:
                    page = await queries.read(connection, self.cursor, 3)
                self.heard += page.events
                self.cursor = page.events[-1].seq if page.events else self.cursor

    async def finish(self) -> None:
        """Commit open transactions, and read everything."""
        for which in list(self.open):
            await self._end(which, commit=True)
        await self.step("number", 0)
        while len(self.heard) < len(self.committed):
            await self.step("read", 0)
        await self.step("read", 0)

    async def _publish(self, which: int) -> None:
        if which not in self.open:
            manager = self.backend.database.transaction()
            self.open[which] = (manager, await manager.__aenter__(), [])
        _, connection, events = self.open[which]
        name = f"test.e{len(self.committed)}_{which}_{len(events)}"
        await self.backend.push.publish(connection, self.backend.events(0, kind=name))
        events.append(name)

    async def _end(self, which: int, *, commit: bool) -> None:
        if which not in self.open:
            return
        manager, _, events = self.open.pop(which)
        if commit:
            await manager.__aexit__(None, None, None)
            self.committed += [(self.numberings, name) for name in events]
        else:
            error = ValueError()
            await manager.__aexit__(ValueError, error, None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_every_commit_is_heard_once_and_in_order(backend: Any, steps: list[tuple[str, int]]) -> None:
    """For any order of commits, a reader gets each committed event once, and never before older ones."""
    [(start,)] = await backend.rows("SELECT last_seq FROM push_state")
    world = Interleaving(backend, start)
    for what, which in steps:
        await world.step(what, which)
    await world.finish()
    assert [event.seq for event in world.heard] == list(range(start + 1, start + 1 + len(world.committed)))
    heard = {event.kind: place for place, event in enumerate(world.heard)}
    assert sorted(heard) == sorted(name for _, name in world.committed)
    for numbering, name in world.committed:
        elders = [heard[elder] for earlier, elder in world.committed if earlier < numbering]
        assert all(place < heard[name] for place in elders)


async def test_a_long_transaction_delays_its_own_events_alone(backend: Any, gateway: Any) -> None:
    """While an earlier writer's transaction is open, others' events are delivered; its own follow its commit."""
    async with gateway.subscribed(backend.address):
        async with backend.database.transaction() as long:
            await backend.push.publish(long, backend.events(1, 2))
            await backend.publish(3)
            await gateway.heard(1)
            await backend.publish(4)
            await gateway.heard(2)
        await gateway.heard(4)
    assert gateway.numbers == [3, 4, 1, 2]


async def test_a_numberer_that_stalls_is_ended(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stops in the middle of numbering loses its transaction: its events get their numbers elsewhere."""
    monkeypatch.setattr(queries, "STALLED", timedelta(milliseconds=200))
    with pytest.raises(Exception) as raised:
        async with backend.database.transaction() as stalled:
            await queries.number(stalled, queries.Seen())
            await backend.publish(1)
            await backend.numbered(1)
    assert is_unavailable(raised.value) or "idle" in str(raised.value)


async def test_numberers_wait_for_each_other(backend: Any) -> None:
    """Many concurrent numberings leave no gap and assign no number twice."""
    async with backend.database.transaction() as connection:
        await backend.push.publish(connection, backend.events(*range(500)))

    async def number() -> None:
        for _ in range(5):
            async with backend.database.transaction() as connection:
                await queries.number(connection, queries.Seen())

    await asyncio.gather(*(number() for _ in range(5)))
    [(last,)] = await backend.rows("SELECT last_seq FROM push_state")
    numbers = [seq for (seq,) in await backend.rows("SELECT seq FROM push_events ORDER BY id")]
    assert numbers == list(range(last - 499, last + 1))


async def test_numbering_passes_over_what_is_locked(backend: Any, gateway: Any) -> None:
    """A slow removal of an event does not delay others."""
    async with backend.database.transaction() as removing:
        await queries.number(removing, queries.Seen())  # keeps the reader from numbering what follows
        await backend.publish(1)
        [(event,)] = await backend.rows("SELECT id FROM push_events")
        async with backend.database.transaction() as blocked:
            await blocked.execute(text("SELECT FROM push_events WHERE id = :id FOR UPDATE"), {"id": event})
            await removing.commit()
            async with gateway.subscribed(backend.address):
                await backend.publish(2)
                await gateway.heard(1)
                assert gateway.numbers == [2]
                await blocked.rollback()
                await backend.publish(3)
                await gateway.heard(3)
    assert sorted(gateway.numbers) == [1, 2, 3]


async def test_a_key_adds_an_event_once(backend: Any) -> None:
    """A key published again, later or in the same call, adds nothing; an event without a key always does."""
    key = backend.new_key()
    await backend.publish(1, key=key)
    await backend.publish(2, key=key)
    await backend.publish(3, 4, key=backend.new_key())
    await backend.publish(5, 6)
    assert [row[0] for row in await backend.rows("SELECT payload FROM push_events ORDER BY id")] == [
        '{"n":1}', '{"n":3}', '{"n":5}', '{"n":6}',
    ]  # fmt: skip


async def test_what_is_rolled_back_was_never_there(backend: Any) -> None:
    """Events share the fate of the caller's transaction."""
    with suppress(ZeroDivisionError):
        async with backend.database.transaction() as connection:
            await backend.push.publish(connection, backend.events(1))
            raise ZeroDivisionError
    assert await backend.rows("SELECT count(*) FROM push_events") == [(0,)]


async def test_trimming_takes_the_oldest_first(backend: Any) -> None:
    """Trimming goes by the time an event got its number, and notes how far it went."""
    await backend.publish(1, 2)
    await backend.numbered(2)
    await backend.age("2 days")
    await backend.publish(3, kind="test.young")
    await backend.arrived("test.young")  # by now the service's own worker may have trimmed the others
    await backend.trim()
    [(trimmed, last)] = await backend.rows("SELECT trimmed_seq, last_seq FROM push_state")
    assert await backend.rows("SELECT seq FROM push_events") == [(last,)]
    assert trimmed == last - 1


def test_the_statements_take_what_drafts_have() -> None:
    """Each field of a draft is written."""
    assert set(queries._FIELDS) == set(Draft.__slots__)


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg"])
async def test_every_driver(make_backend: Any, gateway: Any, empty_database: str, driver: str) -> None:
    """The statements mean the same to the other drivers as to ours."""
    backend = await make_backend(dsn=driver + empty_database[empty_database.index("://") :], retention="1m")
    async with gateway.subscribed(backend.address):
        await backend.publish(1, key=backend.new_key())
        await backend.publish(2, 3, session_id=backend.new_key())
        await gateway.heard(3)
    await backend.age("2 minutes")
    await backend.trim()
    assert gateway.numbers == [1, 2, 3]
    assert await backend.rows("SELECT count(*) FROM push_events") == [(0,)]
