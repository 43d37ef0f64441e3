"""Facts: delivered to every listener, with their effects in the database exactly once."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.clock import ManualClock
from galaxy_chassis.request_context import current_request, request_context
from galaxy_contracts.database import Connection
from galaxy_contracts.fact import Fact
from galaxy_kernel import facts as module
from galaxy_kernel.errors import PluginError
from galaxy_kernel.facts import BATCH, Facts, FactsError


class Happened(Fact, frozen=True):
    fact: ClassVar[str] = "test.happened"
    what: str
    who: UUID


class Ended(Fact, frozen=True):
    fact: ClassVar[str] = "test.ended"
    at: int = 0


def happened(what: str = "it") -> Happened:
    return Happened(what, uuid4())


Handler = Callable[[Connection, Any], Awaitable[None]]


def writes(world: Any, listener: str) -> Handler:
    """Return a listener whose effect is a row."""

    async def handler(connection: Connection, fact: Any) -> None:
        await connection.execute(world.effects.insert().values(what=f"{listener} {fact.what}"))

    return handler


async def fails(connection: Connection, fact: Any) -> None:
    raise ValueError("player@example.org is not welcome")


async def replica(world: Any, **listeners: Handler) -> Any:
    made = await world.replica(run=False, load=False)
    for name, handler in listeners.items():
        made.facts.subscribe(name, {Happened: handler})
    made.facts.seal()
    return made


async def record(replica: Any, *facts: Fact) -> None:
    async with replica.database.transaction() as connection:
        await replica.facts.record(connection, *facts)


def effects(world: Any) -> Counter[str]:
    with world.admin() as cursor:
        cursor.execute("SELECT what FROM effects")
        return Counter(what for (what,) in cursor)


def waiting(world: Any) -> list[tuple[Any, ...]]:
    with world.admin() as cursor:
        cursor.execute("SELECT listener, fact, attempts, last_error FROM facts ORDER BY listener, id")
        return list(cursor.fetchall())


def make_due(world: Any) -> None:
    with world.admin() as cursor:
        cursor.execute("UPDATE facts SET next_attempt_at = now()")


async def test_a_fact_reaches_every_listener(world: Any) -> None:
    """Each listener gets the fact as it was recorded, under the recorder's request id and its own name."""
    heard: list[tuple[Any, ...]] = []

    async def listen(connection: Connection, fact: Happened) -> None:
        work = current_request.get()
        assert work is not None
        heard.append((work.plugin, work.request_id, fact))

    here = await replica(world, user=listen, lobby=listen)
    fact = happened("ü")
    with request_context("auth", "request-7"):
        await record(here, fact)
    assert await here.facts.dispatch() is False
    assert sorted(heard) == [("lobby", "request-7", fact), ("user", "request-7", fact)]
    assert waiting(world) == []


async def test_what_is_undelivered(world: Any) -> None:
    """A fact is undelivered from its COMMIT to that of its listener, also while the listener is handling it."""
    handling, go = asyncio.Event(), asyncio.Event()

    async def listen(connection: Connection, fact: Happened) -> None:
        handling.set()
        await go.wait()

    here = await replica(world, user=listen, lobby=writes(world, "lobby"))
    fact = happened("ü")

    async def undelivered(plugin: str = "user") -> list[Happened]:
        async with here.database.reading() as connection:
            return await here.facts.undelivered(connection, plugin, Happened)

    async with here.database.transaction() as connection:
        await here.facts.record(connection, fact)
        assert await undelivered() == []
        assert await here.facts.undelivered(connection, "user", Happened) == [fact]
    assert await undelivered() == [fact]
    dispatching = asyncio.create_task(here.facts.dispatch())
    await handling.wait()
    assert await undelivered() == [fact]
    go.set()
    await dispatching
    assert [await undelivered(), await undelivered("lobby")] == [[], []]


async def test_a_rollback_takes_the_fact_along(world: Any) -> None:
    """A fact of a transaction that rolled back is never delivered, and wakes no worker."""
    here = await replica(world, user=writes(world, "user"))
    with pytest.raises(ZeroDivisionError):
        async with here.database.transaction() as connection:
            await here.facts.record(connection, happened())
            raise ZeroDivisionError
    assert not here.wakeups.event("user.facts").is_set()
    await here.facts.dispatch()
    assert effects(world) == Counter()


async def test_recording_wakes_the_listeners(world: Any) -> None:
    """The commit wakes the listeners' workers, and no others."""
    here = await replica(world, user=writes(world, "user"))
    here.facts.subscribe("lobby", {Ended: fails})
    async with here.database.transaction() as connection:
        await here.facts.record(connection, happened(), happened())
        assert not here.wakeups.event("user.facts").is_set()
    assert here.wakeups.event("user.facts").is_set()
    assert not here.wakeups.event("lobby.facts").is_set()
    assert [(plugin, worker.name) for plugin, worker in here.facts.workers()] == [
        ("lobby", "lobby.facts"),
        ("user", "user.facts"),
    ]
    worker = here.facts.workers()[1][1]
    assert await worker.run() is False
    assert effects(world) == Counter({"user it": 2})


async def test_nobody_listens(world: Any) -> None:
    """A fact without listeners leaves no row."""
    here = await replica(world)
    await record(here, happened(), Ended())
    assert waiting(world) == []


async def test_recording_too_early(world: Any) -> None:
    """Before every plugin's subscriptions are known a fact is refused rather than lost."""
    here = await world.replica(run=False, load=False)
    here.facts.subscribe("user", {Happened: fails})
    with pytest.raises(FactsError, match=r"'test.happened' was recorded before the listeners were known"):
        await record(here, happened())


async def test_two_facts_of_one_name(world: Any) -> None:
    """Two types of one name are refused with the plugin that brought the second."""

    class Impostor(Fact, frozen=True):
        fact: ClassVar[str] = "test.happened"

    here = await replica(world, user=fails)
    with pytest.raises(PluginError, match="plugin 'lobby' listens to .*Impostor as 'test.happened'"):
        here.facts.subscribe("lobby", {Impostor: fails})


async def test_a_failing_listener_stops_nobody(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 50 facts, with one listener that always fails and one that fails for some, all others are delivered."""
    monkeypatch.setattr(module, "BACKOFF", Backoff(600.0, 600.0))  # however slow the machine, none is due again

    async def fussy(connection: Connection, fact: Happened) -> None:
        await writes(world, "fussy")(connection, fact)
        if int(fact.what) % 2:
            await connection.exec_driver_sql("SELECT 1 / 0")

    here = await replica(world, bad=fails, fussy=fussy, good=writes(world, "good"))
    await record(here, *(happened(f"{number}") for number in range(50)))
    with capture_logs() as logs:
        while await here.facts.dispatch():
            pass
    assert effects(world) == Counter(
        {f"good {number}": 1 for number in range(50)} | {f"fussy {number}": 1 for number in range(0, 50, 2)}
    )
    assert Counter((row[0], row[2]) for row in waiting(world)) == {("bad", 1): 50, ("fussy", 1): 25}
    assert Counter(log["plugin"] for log in logs if log["event"] == "fact_failed") == {"bad": 50, "fussy": 25}


async def cancels(connection: Connection, fact: Happened) -> None:
    other = asyncio.create_task(asyncio.sleep(60))
    other.cancel()
    await other


async def exits(connection: Connection, fact: Happened) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("stray", [cancels, exits])
async def test_a_listener_that_awaits_something_cancelled_has_failed(world: Any, stray: Any) -> None:
    """It is tried again like any other failure, and holds up neither the process nor other facts."""
    here = await replica(world, bad=stray, good=writes(world, "good"))
    await record(here, happened("1"))
    while await here.facts.dispatch():
        pass
    assert effects(world) == Counter({"good 1": 1})
    assert [(row[0], row[2]) for row in waiting(world)] == [("bad", 1)]


async def test_a_failure_tells_no_secrets(world: Any) -> None:
    """The row and the log have the error's type and place, and not its message."""
    here = await replica(world, bad=fails)
    await record(here, happened())
    with capture_logs() as logs:
        await here.facts.dispatch()
    [(_, _, attempts, error)] = waiting(world)
    assert attempts == 1
    assert error.startswith("ValueError at test_facts.py:")
    assert error.endswith(" fails")
    [log] = [log for log in logs if log["event"] == "fact_failed"]
    assert (log["plugin"], log["fact"], log["attempts"], log["error"]) == ("bad", "test.happened", 1, "ValueError")
    assert "player@example.org" not in f"{logs}{error}"


async def test_back_off(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each failure the fact waits twice as long, ten minutes at the most; when it succeeds it is gone."""
    monkeypatch.setattr(
        module, "BACKOFF", Backoff(100.0, 600.0)
    )  # however slow the machine, it is not due again at once
    broken = True

    async def failing(connection: Connection, fact: Happened) -> None:
        await writes(world, "failing")(connection, fact)
        if broken:
            raise ValueError

    here = await replica(world, failing=failing)
    await record(here, happened())
    for attempt in range(5):
        await here.facts.dispatch()
        with world.admin() as cursor:
            cursor.execute("SELECT attempts, extract(epoch FROM next_attempt_at - now())::float8 FROM facts")
            [(attempts, delay)] = cursor.fetchall()
        assert attempts == attempt + 1
        longest = min(600, 100 * 2**attempt)
        assert longest / 2 - 10 <= delay <= longest
        await here.facts.dispatch()  # not due: nothing happens
        assert waiting(world)[0][2] == attempts
        make_due(world)
    broken = False
    await here.facts.dispatch()
    assert (effects(world), waiting(world)) == (Counter({"failing it": 1}), [])


async def test_a_listener_that_hangs(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that does not end counts as failed, and does not delay other listeners' workers."""
    hanging = asyncio.Event()

    async def hangs(connection: Connection, fact: Happened) -> None:
        await writes(world, "hangs")(connection, fact)
        hanging.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "HANDLER_TIMEOUT", 0.3)
    here = await replica(world, hangs=hangs, good=writes(world, "good"))
    await record(here, happened())
    hung = asyncio.ensure_future(here.facts.dispatch("hangs"))
    await hanging.wait()
    await here.facts.dispatch("good")
    assert not hung.done()
    await hung
    assert effects(world) == Counter({"good it": 1})
    assert [(row[0], row[3].split(" ")[0]) for row in waiting(world)] == [("hangs", "TimeoutError")]


async def test_memory_of_a_failed_listener_is_left_alone(world: Any) -> None:
    """What a listener wrote to a cache before it failed never reaches memory."""
    here = await world.replica(run=False)

    async def handler(connection: Connection, fact: Happened) -> None:
        await here.write_on(connection, world.item())
        raise ValueError

    here.facts.subscribe("user", {Happened: handler})
    here.facts.seal()
    await record(here, happened())
    await here.facts.dispatch()
    assert len(here.items) == 0
    assert world.rows() == {}


async def test_several_replicas(world: Any) -> None:
    """Concurrent replicas deliver each fact once."""
    replicas = [await replica(world, user=writes(world, "user"), lobby=writes(world, "lobby")) for _ in range(3)]
    count = BATCH + 10
    await record(replicas[0], *(happened(f"{number}") for number in range(count)))

    async def work(each: Any) -> None:
        while await each.facts.dispatch():
            pass

    await asyncio.gather(*map(work, replicas))
    expected = {f"{name} {number}": 1 for name in ("user", "lobby") for number in range(count)}
    assert effects(world) == Counter(expected)
    assert waiting(world) == []


async def test_a_fact_in_hand_holds_up_no_other_replica(world: Any) -> None:
    """While one replica processes a listener's fact, another processes the next one of that listener."""
    in_hand, may_end = asyncio.Event(), asyncio.Event()

    async def slow(connection: Connection, fact: Happened) -> None:
        in_hand.set()
        await may_end.wait()
        await writes(world, "slow")(connection, fact)

    one, other = await replica(world, user=slow), await replica(world, user=writes(world, "quick"))
    await record(one, happened("first"), happened("second"))
    task = asyncio.ensure_future(one.facts.dispatch())
    await in_hand.wait()
    async with asyncio.timeout(5):
        await other.facts.dispatch()
    assert effects(world) == Counter({"quick second": 1})
    may_end.set()
    await task
    assert effects(world) == Counter({"quick second": 1, "slow first": 1})


async def test_facts_nobody_here_knows(world: Any) -> None:
    """Rows of a plugin or a type of fact that is not here are not changed, and the probe reports them."""
    other = await replica(world, geo=writes(world, "geo"))
    await record(other, happened(), happened())
    here = await world.replica(run=False, load=False)
    clock = ManualClock()
    facts = Facts(here.database, here.wakeups, clock, random.Random(1))
    facts.subscribe("user", {Happened: fails})
    facts.seal()
    assert (await facts.probe().check()).detail == (
        "2 of 'test.happened' wait for 'geo', which is not installed or no longer listens"
    )
    assert await facts.dispatch() is False
    assert len(waiting(world)) == 2
    async with here.database.reading() as connection:
        counted = await facts.waiting(connection)
    assert {listener: number for listener, (number, _) in counted.items()} == {"geo": 2, "user": 0}
    assert counted["geo"][1] >= counted["user"][1] == 0
    await other.facts.dispatch()
    clock._monotonic += 60
    assert (await facts.probe().check()).state == "ok"


async def test_the_probe_names_a_listener_that_keeps_failing(world: Any) -> None:
    """After several failures the probe reports the listener and the fact."""
    here = await replica(world, bad=fails)
    await record(here, happened())
    for _ in range(5):
        await here.facts.dispatch()
        make_due(world)
    health = await here.facts.probe().check()
    assert (health.state, health.detail.split(":")[0]) == ("degraded", "'bad' has failed 5 times on 'test.happened'")


class Boundary(Exception):
    """Raised where the process dies in the test."""


def die_at(world: Any, database: Any, number: int, how: str) -> list[str]:
    """Make the n-th statement, or the COMMIT, of a database the last one: fail just before or just after it."""
    seen: list[str] = []
    engine = database.engine.sync_engine

    def strike(connection: Any, what: str) -> None:
        seen.append(what)
        if len(seen) - 1 != number:
            return
        if how == "killed":
            world.cut("state LIKE 'idle in transaction%'")
        elif how == "cancelled":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        elif what != "commit":  # SQLAlchemy takes what its hook for that raises for the COMMIT's own error
            raise Boundary

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        strike(connection, f"before {statement.split(maxsplit=1)[0]}")

    def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        strike(connection, f"after {statement.split(maxsplit=1)[0]}")

    def commit(connection: Any) -> None:
        strike(connection, "commit")

    sa.event.listen(engine, "before_cursor_execute", before)
    sa.event.listen(engine, "after_cursor_execute", after)
    sa.event.listen(engine, "commit", commit)
    return seen


@pytest.mark.parametrize("how", ["killed", "cancelled", "raised"])
async def test_a_crash_between_any_two_lines(world: Any, how: str) -> None:
    """Wherever the delivery of a fact is interrupted, its effect is there once after another replica has run."""
    number, steps = 0, [""]
    while number <= len(steps):  # finally nothing fails any more
        dying, other = (
            await replica(world, user=writes(world, "user")),
            await replica(world, user=writes(world, "user")),
        )
        await record(dying, happened(f"{number}"))
        steps = die_at(world, dying.database, number, how)
        await asyncio.gather(asyncio.ensure_future(dying.facts.dispatch("user")), return_exceptions=True)
        make_due(world)
        await other.facts.dispatch()
        assert effects(world) == Counter({f"user {each}": 1 for each in range(number + 1)}), steps
        assert waiting(world) == []
        number += 1
    assert {"before DELETE", "after DELETE", "before INSERT", "after INSERT", "commit"} <= set(steps)
    assert len(steps) >= 5


async def test_a_database_that_is_gone_is_not_the_listeners_fault(world: Any) -> None:
    """When facts cannot be read the worker gets the error for its back-off, and nothing is counted."""
    here = await replica(world, user=writes(world, "user"))
    await record(here, happened())
    with world.admin() as cursor:
        cursor.execute("ALTER TABLE facts RENAME TO facts_gone")
    with pytest.raises(Exception, match="facts"):
        await here.facts.dispatch()
    with world.admin() as cursor:
        cursor.execute("ALTER TABLE facts_gone RENAME TO facts")
    assert [row[2] for row in waiting(world)] == [0]
    await here.facts.dispatch()
    assert effects(world) == Counter({"user it": 1})
