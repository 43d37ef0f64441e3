"""Requests being served: their limit, who is cancelled and why, and waiting until none is left."""

import asyncio

from galaxy_chassis.http.inflight import InFlightRequests
from galaxy_chassis.http.problems import Problem

LATE, STOPPING = Problem(503, "timeout", "late"), Problem(503, "stopping", "stopping")
SOON, FAR = 0.0, 60.0


class Serving:
    """Requests, each a task that waits until it is finished or cancelled, and gives the reason for that."""

    def __init__(self, limit: float) -> None:
        self.requests = InFlightRequests(asyncio.get_running_loop(), limit, lambda: LATE)
        self.finish = asyncio.Event()
        self.order: list[str] = []

    async def begin(self, name: str = "request", *, cleaning_up: asyncio.Event | None = None) -> "asyncio.Task[str]":
        begun = asyncio.Event()

        async def serve() -> str:
            task = self.requests.begin()
            begun.set()
            try:
                await self.finish.wait()
            except asyncio.CancelledError:
                self.order.append(name)
                if cleaning_up is not None:
                    await cleaning_up.wait()
                abort = self.requests.abort_reason(task)
                return "?" if abort is None else abort.code
            finally:
                self.requests.end(task)
            return "served"

        task = asyncio.create_task(serve())
        await begun.wait()
        return task


async def test_requests_are_counted_while_they_are_served() -> None:
    """Each is there from its beginning to its end."""
    serving = Serving(FAR)
    tasks = [await serving.begin() for _ in range(3)]
    assert len(serving.requests) == 3
    serving.finish.set()
    assert await asyncio.gather(*tasks) == ["served"] * 3
    assert len(serving.requests) == 0
    serving.requests.close()


async def test_a_request_past_its_limit_is_cancelled_with_the_reason() -> None:
    """Whoever answers learns that the service gave it up, not the client."""
    serving = Serving(SOON)
    async with asyncio.timeout(5):
        assert await (await serving.begin()) == "timeout"
        assert await (await serving.begin()) == "timeout"  # the timer was set again
    assert len(serving.requests) == 0


async def test_requests_expire_in_the_order_in_which_they_began() -> None:
    """One timer does for all; one that finished in time is passed over."""
    serving = Serving(0.02)
    early = await serving.begin("early")
    done = await serving.begin("done")
    late = await serving.begin("late")
    done.cancel()
    async with asyncio.timeout(5):
        assert await asyncio.gather(early, done, late) == ["timeout", "?", "timeout"]
    assert serving.order == ["done", "early", "late"]


async def test_one_that_cleans_up_for_long_holds_up_no_other() -> None:
    """It is cancelled once, and those behind it expire all the same."""
    serving, clean = Serving(0.01), asyncio.Event()
    stuck = await serving.begin("stuck", cleaning_up=clean)
    async with asyncio.timeout(5):
        assert await (await serving.begin("next")) == "timeout"
    assert serving.order == ["stuck", "next"]
    clean.set()
    assert await stuck == "timeout"


async def test_a_cancellation_from_outside_has_no_reason() -> None:
    """A client that hung up is not answered that the service stopped."""
    serving = Serving(FAR)
    request = await serving.begin()
    request.cancel()
    assert await request == "?"
    serving.requests.close()


async def test_waiting_until_idle() -> None:
    """It ends with the last request, or says after its time that there still are some."""
    serving = Serving(FAR)
    assert await serving.requests.wait_idle(0.0) is True
    tasks = [await serving.begin(), await serving.begin()]
    assert await serving.requests.wait_idle(0.0) is False
    waiting = asyncio.create_task(serving.requests.wait_idle(FAR))
    await asyncio.sleep(0)
    assert not waiting.done()
    serving.finish.set()
    async with asyncio.timeout(5):
        assert await waiting is True
    await asyncio.gather(*tasks)
    serving.requests.close()


async def test_aborting_tells_all_and_keeps_the_first_reason() -> None:
    """One that had expired stays late; the others are told that the service stops."""
    serving, clean = Serving(0.01), asyncio.Event()
    expired = await serving.begin("expired", cleaning_up=clean)
    async with asyncio.timeout(5):
        while not serving.order:
            await asyncio.sleep(0)
    fresh = await serving.begin("fresh")
    serving.requests.abort(STOPPING)
    clean.set()
    assert await asyncio.gather(expired, fresh) == ["timeout", "stopping"]
    serving.requests.close()


async def test_closing_stops_the_timer() -> None:
    """Nothing expires afterwards, and closing twice is fine."""
    serving = Serving(SOON)
    request = await serving.begin()
    serving.requests.close()
    serving.requests.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not serving.order
    serving.finish.set()
    assert await request == "served"
