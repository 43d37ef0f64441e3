"""Who calls, by introspection."""

import asyncio
from datetime import timedelta

from galaxy_chassis.clock import ManualClock
from galaxy_gateway import callers
from galaxy_gateway.callers import KEPT, Caller, Callers


class Backend:
    """Knows every token, each of a session of its own."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, token: str) -> Caller | None:
        self.asked += 1
        await asyncio.sleep(0)
        return None if token == "bad" else Caller("account", f"session of {token}", None)


async def test_a_caller_is_asked_about_once_by_all_who_wait() -> None:
    """And is known for a while afterwards."""
    backend, clock = Backend(), ManualClock()
    known = Callers(backend, clock)
    asked = await asyncio.gather(*(known.ask("a") for _ in range(50)))
    assert backend.asked == 1
    assert set(asked) == {known.known("a")}
    clock.advance(timedelta(seconds=KEPT))
    assert known.known("a") is None


async def test_who_is_not_known_is_asked_about_again() -> None:
    """A token may become good a moment later, at a backend that lags."""
    backend = Backend()
    known = Callers(backend, ManualClock())
    assert [await known.ask("bad"), await known.ask("bad")] == [None, None]
    assert backend.asked == 2


async def test_a_session_that_ends_is_forgotten() -> None:
    """It alone; or all, where ends may have been missed."""
    known = Callers(Backend(), ManualClock())
    for token in "abc":
        await known.ask(token)
    known.forget("session of b")
    known.forget("session of nobody")
    assert [known.known(token) is not None for token in "abc"] == [True, False, True]
    known.forget_all()
    assert known.known("a") is None


async def test_callers_are_bounded(monkeypatch: object) -> None:
    """The one not used for longest goes first."""
    known = Callers(Backend(), ManualClock())
    most, callers.CAPACITY = callers.CAPACITY, 2
    try:
        for token in "ab":
            await known.ask(token)
        known.known("a")
        await known.ask("c")
    finally:
        callers.CAPACITY = most
    assert [known.known(token) is not None for token in "abc"] == [True, False, True]
