"""K38 to K42, K44: how the engine behaves as a server and as a process."""

import asyncio
import contextlib
from collections.abc import Sequence
from statistics import median

from galaxy_engine import limits
from galaxy_engine.kit.examination import Examination
from galaxy_engine.kit.findings import Failed, Noted, Skipped, Warned
from galaxy_engine.kit.orders import is_accepted
from galaxy_engine.kit.registry import ONE_PIECE, PROCESS, UNKNOWN, check
from galaxy_engine.kit.subject import Engine, Reply, point_of
from galaxy_engine.transport import Transport

_TOO_LARGE = 17 * limits.MIB
_AT_ONCE = 20
_SMALL_CALLS = 40
_SLOW, _FAST = 0.035, 0.005
"""Seconds: what a delayed acknowledgement costs at least, and what shows that the engine itself is not slow."""


@check("K38", "limits are kept", "Beyond the limits: 413, or a closed connection, and healthy after it.")
async def limits_are_kept(x: Examination) -> str:
    engine, step = await x.engine(), (await x.line())[-1]
    seat = next(iter(step.sets), 1)
    x.trace.restart()
    await engine.load(step.before)
    padding = b'"' + b"x" * _TOO_LARGE + b'"'
    body = (b'{"turn":%d,"orders":[' % step.before.turn, padding, b"]}")
    reply = await engine.call("POST", f"/v1/seats/{seat}/orders", body, seconds=engine.times.turn)
    expected = "413 (or another refusal, or a closed connection), and 200 from /healthz after it"
    if not await x.alive(engine):
        came = f"{reply.shown}; then: {await x.subject.state(engine)}"
        raise Failed("not healthy after orders of 17 MiB", expected=expected, came=came)
    if reply.status is not None and reply.broken:
        raise Failed("orders of 17 MiB break the engine", expected=expected, came=reply.shown)
    await _half_a_request(engine, x.settings.answer_within)
    if reply.status == 200 and is_accepted(reply):
        raise Warned("orders of 17 MiB are accepted; the host refuses them before the engine sees them")
    return "17 MiB of orders, and half a request"


async def _half_a_request(engine: Engine, seconds: float) -> None:
    """Send half a head on one connection and half a body on another, and ask for health while they are silent."""
    halves = (
        b"POST /v1/turns HTTP/1.1\r\nHost: x\r\nContent-",
        b"POST /v1/turns HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
    )
    host, _, port = engine.address.rpartition(":")
    async with contextlib.AsyncExitStack() as stack:
        for half in halves:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            stack.callback(writer.close)
            writer.write(half)
            await writer.drain()
        reply = await engine.call("GET", "/healthz", seconds=seconds, largest=limits.SMALL_BYTES)
    if reply.status != 200:
        expected = (
            f"200 from /healthz within {seconds:g} s while another connection is silent in the middle of a request"
        )
        raise Failed("one slow caller stops the engine for all", expected=expected, came=reply.shown)


@check("K39", "calls at once do not disturb a turn", UNKNOWN)
async def calls_at_once(x: Examination) -> str:
    engine, describe, step = await x.engine(), await x.describe(), await x.last_step()
    expected = await x.replay(engine, step)
    seats = tuple(step.sets) or (1,)

    def another(number: int) -> "asyncio.Task[Reply]":
        seat = seats[number % len(seats)]
        if describe.can("validate"):
            return asyncio.create_task(engine.validate(seat, step.before.turn, step.sets.get(seat, ())))
        if describe.can("options"):
            return asyncio.create_task(engine.options(seat))
        return asyncio.create_task(engine.describe())

    x.trace.restart()
    await engine.load(step.before)
    for seat, orders in step.sets.items():
        await engine.accept(seat, step.before.turn, orders)
    turn = asyncio.create_task(engine.turn(step.before.turn, step.seed, step.absent))
    replies = await asyncio.gather(*(another(number) for number in range(_AT_ONCE)))
    after = await turn
    if broken := [reply.shown for reply in replies if reply.broken]:
        raise Failed("calls during a turn break", expected="no 5xx", came=broken[0])
    x.same(expected, point_of(after), "the turn as without other calls")
    return f"{_AT_ONCE} calls"


@check("K40", "answers are written in one piece", ONE_PIECE)
async def written_in_one_piece(x: Examination) -> str:
    engine = await x.engine()
    own = await _typical_seconds(engine, None)
    async with Transport(acknowledge=False) as delayed:
        seen = await _typical_seconds(engine, delayed)
    if seen >= _SLOW and own < _FAST:
        said = f"{seen * 1000:.0f} ms a call where acknowledgements are delayed, {own * 1000:.1f} ms where they are not"
        raise Warned("answers are written in two pieces", expected="one write an answer, or TCP_NODELAY", came=said)
    return f"{seen * 1000:.1f} ms a call"


async def _typical_seconds(engine: Engine, transport: Transport | None) -> float:
    """Return the median of small calls, without the first: a new connection is acknowledged at once for a while."""
    replies = [await engine.call("GET", "/healthz", transport=transport) for _ in range(_SMALL_CALLS)]
    return median(reply.seconds for reply in replies[_SMALL_CALLS // 2 :])


@check("K41", "stops when it is told to", PROCESS)
async def stops(x: Examination) -> str:
    _launched(x)
    await x.engine()
    engine = await x.started(3)
    loop, within = asyncio.get_running_loop(), x.settings.stop_within
    began = loop.time()
    await x.subject.stop(engine, grace=within + 2)
    seconds = loop.time() - began
    if seconds > within:
        raise Failed("SIGTERM does not stop it", expected=f"gone within {within:g} s", came="killed after that")
    return f"{seconds:.1f} s after SIGTERM"


@check(
    "K42",
    "lives within the box",
    "Read-only root, no root user, no capabilities, 256 MiB, 64 processes, no way out of its network.",
)
async def lives_within_the_box(x: Examination) -> str:
    _launched(x)
    if x.subject.kind == "process":
        raise Skipped("a process has no box; check the image")
    engine, step = await x.engine(), await x.last_step()
    await x.replay(engine, step)
    state = await x.subject.state(engine)
    if not state.startswith("running"):
        raise Failed("it does not stay up in the box", expected="running after a turn", came=state)
    return f"a turn was played within it, and it is {state}"


def _launched(x: Examination) -> None:
    if not x.subject.launches:
        raise Skipped("the kit did not start this engine")


@check(
    "K44", "the token is asked for", "Every call carries `Authorization: Bearer $GALAXY_TOKEN`; engines may check it."
)
async def token_is_asked_for(x: Examination) -> str:
    engine = await x.engine()
    if not engine.token:
        raise Skipped("no token is known for this engine; set GALAXY_TOKEN to the one it was started with")
    opening = await x.opening()
    x.trace.restart()
    await engine.load(opening)  # with the token
    path, body = "/v1/state", (b'{"turn":0,"state":', memoryview(opening.position.state), b"}")
    replies: Sequence[Reply] = [
        await engine.call("GET", "/v1/describe", authorized=False),
        await engine.call("PUT", path, body, authorized=False),
    ]
    if any(reply.broken for reply in replies):
        raise Failed(
            "a call without the token breaks", expected="401, or no care", came=", ".join(r.shown for r in replies)
        )
    if any(reply.status != 401 for reply in replies):
        raise Noted("the engine does not ask for its token: its network is all that keeps others out")
    return "401 without it"
