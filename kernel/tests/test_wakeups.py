"""Wake-ups, here and on other replicas."""

import asyncio
from typing import Any

import pytest

from galaxy_kernel.database import notify
from galaxy_kernel.wakeups import CHANNEL, INTERVAL, Wakeup, Wakeups, _payloads


async def test_wait_gives_whether_it_was_woken() -> None:
    """A wake-up before the wait counts until it is cleared, and time ends the wait."""
    event = Wakeup()
    assert not await event.wait(0.01)
    event.set()
    assert await event.wait(0.01)
    assert event.is_set()
    event.clear()
    assert not await event.wait(0)


async def test_wake_is_heard_here_at_once_and_elsewhere(world: Any) -> None:
    """`wake` sets the event here before it returns, and soon after on another replica."""
    here, there = await world.replica(), await world.replica()
    for replica in (here, there):
        replica.wakeups.event("mail.deliver").clear()
    here.wakeups.wake("mail.deliver")
    assert here.wakeups.event("mail.deliver").is_set()
    assert await there.wakeups.event("mail.deliver").wait(5)


async def test_wake_elsewhere_only(world: Any) -> None:
    """With `here=False` only the others wake; our own notification, received back, wakes no one."""
    here, there = await world.replica(), await world.replica()
    here.wakeups.event("a").clear()
    there.wakeups.event("a").clear()
    here.wakeups.wake("a", here=False)
    assert await there.wakeups.event("a").wait(5)
    here.wakeups.event("b").clear()
    there.wakeups.wake("b")
    assert await here.wakeups.event("b").wait(5)  # by now our own has been received too
    assert not here.wakeups.event("a").is_set()


async def test_after_commit(world: Any) -> None:
    """A wake-up that goes with a transaction comes with its commit, and with a rollback not at all."""
    replica = await world.replica(run=False)
    event = replica.wakeups.event("a")
    with pytest.raises(ZeroDivisionError):
        async with replica.database.transaction() as connection:
            replica.wakeups.after_commit(connection, "a")
            raise ZeroDivisionError
    assert not event.is_set()
    async with replica.database.transaction() as connection:
        replica.wakeups.after_commit(connection, "a")
        assert not event.is_set()
    assert event.is_set()


async def test_many_wake_ups_are_few_notifications(world: Any) -> None:
    """What is woken within one interval goes in one notification."""
    here = await world.replica()
    sent: list[Any] = []
    there = Wakeups(here.database)
    there._heard = sent.append  # type: ignore[method-assign]
    async with world.in_background(there.run()):
        await world.eventually(lambda: there.listening)
        for _ in range(100):
            here.wakeups.wake("a")
            here.wakeups.wake("b")
            await asyncio.sleep(INTERVAL / 100)
        await world.eventually(lambda: bool(sent))
        async with here.database.reading() as connection:
            await notify(connection, CHANNEL, "end")
        await world.eventually(lambda: "end" in sent)
    assert 2 <= len(sent) <= 30


async def test_silence(world: Any) -> None:
    """A silent replica sends and receives nothing."""
    silent, loud = await world.replica(silent=True), await world.replica()
    for replica in (silent, loud):
        for name in ("a", "b"):
            replica.wakeups.event(name).clear()
    silent.wakeups.wake("a")
    loud.wakeups.wake("b")
    assert not await silent.wakeups.event("b").wait(0.2)
    assert not loud.wakeups.event("a").is_set()
    silent.wakeups.silent = False
    loud.wakeups.wake("b")
    assert await silent.wakeups.event("b").wait(5)


async def test_a_lost_connection_wakes_everybody(world: Any) -> None:
    """When listening resumes, every name is woken and the callbacks are called; not the first time."""
    replica = await world.replica()
    told: list[bool] = []
    replica.wakeups.on_reconnect(lambda: told.append(True))
    event = replica.wakeups.event("a")
    event.clear()
    assert world.cut() >= 1
    assert await event.wait(5)
    assert told == [True]


async def test_notifications_may_fail(world: Any) -> None:
    """A lost database costs the notification and nothing else; the next one is sent."""
    here, there = await world.replica(), await world.replica()
    there.wakeups.event("b").clear()
    world.cut()
    here.wakeups.wake("a")
    await world.eventually(lambda: here.wakeups.listening and there.wakeups.listening)
    there.wakeups.event("b").clear()
    here.wakeups.wake("b")
    assert await there.wakeups.event("b").wait(5)


async def test_a_stray_cancellation_does_not_end_the_sender(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that sending awaited was cancelled: the next notification is sent all the same."""
    here, there = await world.replica(), await world.replica()
    send, failed = Wakeups._send, asyncio.Event()

    async def once(self: Wakeups, names: Any) -> None:
        if self is here.wakeups and not failed.is_set():
            failed.set()
            raise asyncio.CancelledError
        await send(self, names)

    monkeypatch.setattr(Wakeups, "_send", once)
    here.wakeups.wake("a")
    async with asyncio.timeout(10):
        await failed.wait()
    there.wakeups.event("b").clear()
    here.wakeups.wake("b")
    assert await there.wakeups.event("b").wait(10)


def test_payloads_stay_short() -> None:
    """Names are packed into payloads that PostgreSQL accepts, each with the sender, none left out."""
    names = {f"plugin.{number:060}" for number in range(1000)}
    payloads = list(_payloads("sender", names))
    assert all(len(payload) < 8000 for payload in payloads)
    assert {name for payload in payloads for name in payload.split(" ")[1:]} == names
    assert {payload.split(" ")[0] for payload in payloads} == {"sender"}
