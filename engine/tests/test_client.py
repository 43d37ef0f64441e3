"""Calls to an engine: what is sent, what comes back, and what each misdeed is called."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from galaxy_engine import limits
from galaxy_engine.client import EngineClient
from galaxy_engine.failures import (
    EngineError,
    EngineInvalid,
    EngineRefused,
    EngineTimeout,
    EngineTooLarge,
    Unhealthy,
)
from galaxy_engine.limits import CallTimes
from galaxy_engine.messages import Init, Orders, SeatName, Turn, Verdict

POSITION = {"turn": 1, "state": {"a": [1, 2]}, "reports": {"1": {"text": "hello"}}}
TURN = Turn(turn=0, seed="s", absent=())


@pytest.fixture
def engine(serve, transport) -> Callable[..., Awaitable[tuple[EngineClient, list[bytes]]]]:
    """Make a client of an engine that answers everything with one status and body, and the list of its requests."""

    async def make(body: Any, status: int = 200, **settings: Any) -> tuple[EngineClient, list[bytes]]:
        requests: list[bytes] = []
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
            requests.append(request)
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)

        return EngineClient(transport, await serve(answer), **settings), requests

    return make


def parts(request: bytes) -> tuple[str, Any]:
    """Return the request line without the version, and the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    return head.split(b" HTTP")[0].decode(), json.loads(body) if body else None


async def test_turn(engine) -> None:
    """A turn is posted, and the next position comes back with its state as it was."""
    client, requests = await engine(POSITION)
    position = await client.turn(Turn(turn=0, seed="s", absent=(2,), vacant=(2,)))
    assert parts(requests[0]) == ("POST /v1/turns", {"turn": 0, "seed": "s", "absent": [2], "vacant": [2]})
    assert bytes(position.state) == b'{"a": [1, 2]}'
    assert bytes(position.reports[1]) == b'{"text": "hello"}'


async def test_turn_with_everything(engine) -> None:
    """With the capability `bundle`, state and orders ride along."""
    client, requests = await engine(POSITION)
    await client.turn(msgspec.structs.replace(TURN, state=Raw(b'{"x": 1}'), orders={1: (Raw(b"7"), Raw(b'"a"'))}))
    assert parts(requests[0])[1] == {"turn": 0, "seed": "s", "absent": [], "state": {"x": 1}, "orders": {"1": [7, "a"]}}


async def test_init(engine) -> None:
    """A game's beginning is posted."""
    client, requests = await engine(POSITION)
    await client.init(Init(game_id="g", seed="s", seats=(SeatName(1, "Mira"),), options={"a": 1}))
    assert parts(requests[0]) == (
        "POST /v1/init",
        {"game_id": "g", "seed": "s", "seats": [{"seat": 1, "name": "Mira"}], "options": {"a": 1}},
    )


@pytest.mark.parametrize("status", [200, 204])
async def test_load(engine, status: int) -> None:
    """A snapshot is put, whatever its size, and 200 and 204 are both fine."""
    client, requests = await engine(b"" if status == 204 else b"{}", status)
    await client.load(3, Raw(b'"' + b"x" * 200_000 + b'"'))
    assert parts(requests[0]) == ("PUT /v1/state", {"turn": 3, "state": "x" * 200_000})


async def test_orders(engine) -> None:
    """Orders are posted as they are, and the verdict comes back."""
    client, requests = await engine({"accepted": False, "errors": [{"index": 1, "code": "no", "message": "No."}]})
    orders = Orders(turn=2, orders=(Raw(b'{"go":  1.50}'),))
    for path, call in (("orders", client.order), ("validate", client.validate)):
        verdict = await call(4, orders)
        assert not verdict.accepted
        assert (verdict.errors[0].index, verdict.errors[0].code) == (1, "no")
        assert requests[-1].endswith(b'{"turn":2,"orders":[{"go":  1.50}]}')
        assert parts(requests[-1])[0] == f"POST /v1/seats/4/{path}"


async def test_options(engine) -> None:
    """What a seat may order is asked for."""
    client, requests = await engine({"turn": 2, "orders": [{"a": 1}], "data": {"b": 2}})
    options = await client.options(4)
    assert parts(requests[0]) == ("GET /v1/seats/4/options", None)
    assert (options.turn, options.complete, [bytes(order) for order in options.orders]) == (2, False, [b'{"a": 1}'])


async def test_suggest(engine) -> None:
    """A machine player's orders are asked for, with a seed or without."""
    client, requests = await engine({"turn": 2, "orders": [1]})
    assert (await client.suggest(4, 2)).turn == 2
    await client.suggest(4, 2, "s")
    assert parts(requests[0]) == ("POST /v1/seats/4/suggest", {"turn": 2})
    assert parts(requests[1])[1] == {"turn": 2, "seed": "s"}


async def test_describe(engine) -> None:
    """What the engine is; absent members have their defaults."""
    client, _ = await engine({"contract": 1, "engine": "e", "version": "1.2.3", "players": {"min": 2, "max": 4}})
    describe = await client.describe()
    assert (describe.engine, describe.players.max, describe.options_schema) == ("e", 4, {"type": "object"})
    assert not describe.can("bundle")


async def test_token(engine) -> None:
    """Every call carries the token where there is one."""
    client, requests = await engine(POSITION, token="t0ken")
    await client.turn(TURN)
    await client.health()
    assert all(b"Authorization: Bearer t0ken\r\n" in request for request in requests)
    client, requests = await engine(POSITION)
    await client.turn(TURN)
    assert b"authorization" not in requests[0].lower()


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_refused(engine, status: int) -> None:
    """A 4xx is an engine_error that has the status and what the engine said."""
    client, _ = await engine({"code": "wrong_turn", "message": "It is turn 3."}, status)
    with pytest.raises(EngineRefused) as caught:
        await client.order(1, Orders(turn=2, orders=()))
    assert (caught.value.code, caught.value.status, caught.value.refusal.code) == ("engine_error", status, "wrong_turn")


async def test_refused_without_words(engine) -> None:
    """A refusal whose body is anything is a refusal."""
    client, _ = await engine(b"<html>", 409)
    with pytest.raises(EngineRefused) as caught:
        await client.load(1, Raw(b"{}"))
    assert caught.value.detail == "<html>"


@pytest.mark.parametrize("status", [201, 202, 204, 301, 307, 500, 503])
async def test_any_other_status(engine, status: int) -> None:
    """Only 200 is an answer to a turn; all else that is not a 4xx is an engine_error."""
    client, _ = await engine(b"" if status == 204 else b"oh", status)
    with pytest.raises(EngineError, match=f"POST /v1/turns .* status {status}") as caught:
        await client.turn(TURN)
    assert not isinstance(caught.value, EngineRefused)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"\xff"',
        {**POSITION, "turn": "1"},
        {**POSITION, "turn": -1},
        {**POSITION, "reports": []},
        {**POSITION, "reports": {"0": {}}},
        {**POSITION, "reports": {"256": {}}},
        {**POSITION, "awaiting": [0]},
        {**POSITION, "awaiting": [1, 1]},
        {**POSITION, "finished": None},
        {"turn": 1, "state": 1},
        b'{"turn":1,"reports":{},"state":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"turn":1,"reports":{},"state":"\xff"}',
        b'{"turn":1,"reports":{},"state":NaN}',
    ],
)
async def test_an_answer_that_breaks_the_contract(engine, body: Any) -> None:
    """Broken JSON, a wrong schema, deep nesting, other encodings are engine_invalid; the detail shows the answer."""
    client, _ = await engine(body)
    with pytest.raises(EngineInvalid, match="POST /v1/turns") as caught:
        await client.turn(TURN)
    assert len(caught.value.detail) <= 2000


async def test_each_call_has_its_largest_size(serve, transport) -> None:
    """What is beyond a call's limit is engine_too_large, before it is read."""
    sizes = {
        "/v1/describe": limits.DESCRIBE_BYTES,
        "/v1/init": limits.POSITION_BYTES,
        "/v1/turns": limits.POSITION_BYTES,
        "/v1/seats/1/options": limits.OPTIONS_BYTES,
        "/v1/seats/1/orders": limits.VERDICT_BYTES,
        "/v1/seats/1/suggest": limits.SUGGESTION_BYTES,
    }

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        size = sizes[request.split(b" ")[1].decode()] + 1
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())

    client = EngineClient(transport, await serve(answer))
    for call in (
        client.describe(),
        client.init(Init(game_id="g", seed="s", seats=(SeatName(1, "a"),), options={})),
        client.turn(TURN),
        client.options(1),
        client.order(1, Orders(turn=0, orders=())),
        client.suggest(1, 0),
    ):
        with pytest.raises(EngineTooLarge):
            await call


async def test_a_position_of_20_mib(engine) -> None:
    """State and reports at their limits pass; beyond, it is engine_too_large."""
    within = {**POSITION, "state": "x" * (limits.STATE_BYTES - 2)}
    client, _ = await engine(within)
    assert len(memoryview((await client.turn(TURN)).state)) == limits.STATE_BYTES
    client, _ = await engine({**POSITION, "state": "x" * (28 * limits.MIB)})
    with pytest.raises(EngineTooLarge):
        await client.turn(TURN)


async def test_each_call_has_its_time(serve, transport) -> None:
    """A call that is not answered ends at the limit of its kind."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    times = CallTimes(health=0.01, describe=0.02, order=0.03, state=0.04, turn=0.05)
    client = EngineClient(transport, await serve(answer), times=times)
    with pytest.raises(Unhealthy, match="longer than 0.01 s"):
        await client.health()
    for call, seconds in (
        (client.describe(), 0.02),
        (client.order(1, Orders(turn=0, orders=())), 0.03),
        (client.validate(1, Orders(turn=0, orders=())), 0.03),
        (client.options(1), 0.03),
        (client.suggest(1, 0), 0.03),
        (client.load(0, Raw(b"1")), 0.04),
        (client.turn(TURN), 0.05),
        (client.init(Init(game_id="g", seed="s", seats=(SeatName(1, "a"),), options={})), 0.05),
    ):
        with pytest.raises(EngineTimeout, match=f"longer than {seconds} s"):
            await call


@pytest.mark.parametrize("status", [204, 404, 500, 503])
async def test_unhealthy(engine, status: int) -> None:
    """Health is 200, and nothing else."""
    client, _ = await engine(b"" if status == 204 else b"starting", status)
    with pytest.raises(Unhealthy, match=f"status {status}"):
        await client.health()


async def test_defaults_of_a_verdict(engine) -> None:
    """Errors may be left out."""
    client, _ = await engine({"accepted": True})
    assert await client.order(1, Orders(turn=0, orders=())) == Verdict(accepted=True)
