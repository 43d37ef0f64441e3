"""The calls of the contract, without HTTP."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from galaxy_game.engine import DESCRIPTION, OPTIONS_SCHEMA, Engine, package_version
from galaxy_game.requests import Refusal

SEND = {"order": "send", "from": 1, "to": 3, "ships": 8}
OTHER = {"order": "send", "from": 1, "to": 3, "ships": 3}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def init(seats: int = 2, **members: Any) -> dict[str, Any]:
    rows = [{"seat": seat, "name": f"Player {seat}"} for seat in range(1, seats + 1)]
    return {"game_id": "g", "seed": "seed", "seats": rows, "options": {}} | members


def turn(number: int = 0, **members: Any) -> dict[str, Any]:
    return {"turn": number, "seed": "s", "absent": []} | members


def begun(seats: int = 2, **members: Any) -> tuple[Engine, dict[str, Any]]:
    engine = Engine()
    return engine, json.loads(engine.init(init(seats, **members)))


def order(engine: Engine, seat: int, orders: list[Any], number: int = 0) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads(engine.order(seat, {"turn": number, "orders": orders}))
    return verdict


def refused(call: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        call(*arguments)
    assert 5 < len(refusal.value.message) < 300
    return refusal.value.status, refusal.value.code


def finished() -> tuple[Engine, dict[str, Any], bytes]:
    engine, _ = begun(options={"turns": 10})
    for number in range(10):
        answer = engine.turn(turn(number))
    return engine, json.loads(answer), answer


def test_describe() -> None:
    """The description names the engine, its version and what it can; its schemas are schemas."""
    described = json.loads(Engine().describe())
    assert described["engine"] == "galaxy"
    assert described["version"] == package_version() == "0.1.0"
    assert described["players"] == {"min": 2, "max": 8}
    Draft202012Validator.check_schema(described["options_schema"])
    Draft202012Validator.check_schema(described["order_schema"])


@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_examples(seed: str) -> None:
    """Every set of the examples is accepted, whatever the seed."""
    for example in DESCRIPTION["examples"]:
        engine, _ = begun(example["seats"], seed=seed, options=example["options"])
        for number, sets in enumerate(example["turns"]):
            for seat, orders in sets.items():
                assert order(engine, int(seat), orders, number) == {"accepted": True, "errors": []}
            engine.turn(turn(number))


def test_position() -> None:
    """A position has a report for each seat, and who may order."""
    _, position = begun(3)
    assert position["turn"] == 0
    assert sorted(position["reports"]) == ["1", "2", "3"]
    assert position["awaiting"] == [1, 2, 3]
    assert (position["eliminated"], position["finished"], position["result"]) == ([], False, None)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"seed": ""}, "bad_request"), ({"seed": 5}, "bad_request"), ({"seed": "x" * 129}, "bad_request"),
        ({"seed": "\ud800"}, "bad_request"),
        ({"seats": []}, "bad_seats"), ({"seats": None}, "bad_seats"),
        ({"seats": [{"seat": 1, "name": "a"}]}, "bad_seats"),
        ({"seats": [{"seat": seat, "name": "a"} for seat in range(1, 10)]}, "bad_seats"),
        ({"seats": [{"seat": 1, "name": "a"}] * 2}, "bad_seats"), ({"seats": [1, 2]}, "bad_seats"),
        ({"seats": [{"seat": 1, "name": "a"}, {"seat": 3, "name": "a"}]}, "bad_seats"),
        ({"seats": [{"seat": 1, "name": "a"}, {"seat": 2, "name": 5}]}, "bad_seats"),
        ({"seats": [{"seat": True, "name": "a"}, {"seat": 2, "name": "b"}]}, "bad_seats"),
        ({"options": []}, "bad_options"), ({"options": {"planets": 2}}, "bad_options"),
        ({"options": {"planets": 11}}, "bad_options"), ({"options": {"planets": "5"}}, "bad_options"),
        ({"options": {"planets": True}}, "bad_options"), ({"options": {"fog": 1}}, "bad_options"),
        ({"options": {"turns": 5.0}}, "bad_options"), ({"options": {"seats": 3}}, "bad_options"),
    ],
)  # fmt: skip
def test_bad_init(members: dict[str, Any], code: str) -> None:
    """A game that cannot be is refused, and the former game goes on."""
    engine, _ = begun()
    order(engine, 1, [SEND])
    assert refused(engine.init, init() | members) == (422, code)
    assert "fell to you" in json.loads(engine.turn(turn()))["reports"]["1"]["text"]


@given(st.fixed_dictionaries({}, optional={"planets": st.integers(), "turns": st.integers(), "fog": st.booleans()}))
def test_options_schema_agrees(options: dict[str, Any]) -> None:
    """Options pass if and only if the schema says so."""
    valid = Draft202012Validator(OPTIONS_SCHEMA).is_valid(options)
    if valid:
        Engine().init(init(options=options))
    else:
        assert refused(Engine().init, init(options=options)) == (422, "bad_options")


def test_no_game() -> None:
    """Without a game there is nothing to order or run."""
    engine = Engine()
    for call in (
        lambda: engine.turn(turn()), lambda: engine.options(1), lambda: engine.order(1, {"turn": 0, "orders": []}),
        lambda: engine.suggest(1, {"turn": 0}), lambda: engine.validate(1, {"turn": 0, "orders": []}),
    ):  # fmt: skip
        assert refused(call) == (409, "no_game")


def test_unknown_seat() -> None:
    """A seat that the game does not have is not found."""
    engine, _ = begun()
    for seat in (0, 3, 255):
        assert refused(engine.order, seat, {"turn": 0, "orders": []}) == (404, "unknown_seat")
        assert refused(engine.options, seat) == (404, "unknown_seat")


def test_orders_replace() -> None:
    """An accepted set replaces the former, a refused one leaves it, and an empty one is a set."""
    engine, _ = begun()
    alone, _ = begun()
    order(alone, 1, [OTHER])
    wanted = alone.turn(turn())
    order(engine, 1, [SEND])
    order(engine, 1, [OTHER])
    refusal = order(engine, 1, [SEND, SEND])
    assert refusal["accepted"] is False
    assert refusal["errors"][0]["index"] == 1
    assert engine.turn(turn()) == wanted
    engine, _ = begun()
    order(engine, 1, [SEND])
    order(engine, 1, [])
    assert engine.turn(turn()) == begun()[0].turn(turn())


@pytest.mark.parametrize("number", [-1, 1, 7, 10**30])
def test_wrong_turn(number: int) -> None:
    """Orders and turns for another turn are 409, and change nothing."""
    engine, _ = begun()
    order(engine, 1, [SEND])
    assert refused(engine.order, 1, {"turn": number, "orders": [OTHER]}) == (409, "wrong_turn")
    assert refused(engine.turn, turn(number)) == (409, "wrong_turn")
    assert refused(engine.suggest, 1, {"turn": number}) == (409, "wrong_turn")
    other, _ = begun()
    order(other, 1, [SEND])
    assert engine.turn(turn()) == other.turn(turn())


def test_repeat() -> None:
    """The last turn is answered again as it was; the one before is over."""
    engine, _ = begun()
    order(engine, 1, [SEND])
    first = engine.turn(turn())
    assert engine.turn(turn()) == first
    order(engine, 1, [], 1)
    assert engine.turn(turn()) == first
    engine.turn(turn(1))
    assert refused(engine.turn, turn(0)) == (409, "wrong_turn")


def test_restore() -> None:
    """A loaded snapshot replaces everything: the position, the orders and the last answer."""
    engine, start = begun()
    order(engine, 1, [SEND])
    played = engine.turn(turn())
    order(engine, 1, [SEND], 1)
    engine.load({"turn": 0, "state": start["state"]})
    assert refused(engine.turn, turn(1)) == (409, "wrong_turn")
    quiet = engine.turn(turn())
    assert quiet != played
    engine.load({"turn": 0, "state": start["state"]})
    order(engine, 1, [SEND])
    assert engine.turn(turn()) == played


@pytest.mark.parametrize("change", [{"turn": 1}, {"state": None}, {"state": {}}, {"turn": None}, {"state": "\ud800"}])
def test_bad_snapshot(change: dict[str, Any]) -> None:
    """A snapshot that is malformed, or of another turn, is refused, and the former position stays."""
    engine, start = begun()
    order(engine, 1, [SEND])
    wanted, _ = begun()
    order(wanted, 1, [SEND])
    assert refused(engine.load, {"turn": 0, "state": start["state"]} | change)[0] == 422
    assert engine.turn(turn()) == wanted.turn(turn())


def test_absent_and_vacant() -> None:
    """An absent seat's orders do not count; a vacant one is absent too, and its planets stop after a while."""
    engine, _ = begun()
    order(engine, 1, [SEND])
    absent = json.loads(engine.turn(turn(absent=[1])))
    assert absent["reports"] == json.loads(begun()[0].turn(turn()))["reports"]
    engine, _ = begun()
    order(engine, 1, [SEND])
    for number in range(5):
        vacant = json.loads(engine.turn(turn(number, absent=[1], vacant=[1])))
    assert vacant["reports"]["1"]["data"]["planets"][0]["ships"] == 12 + 3 * 6
    for lists in ({"absent": [3]}, {"absent": "1"}, {"absent": [True]}, {"vacant": [0]}):
        assert refused(engine.turn, turn(5, **lists)) == (422, "bad_request")


def test_bundle() -> None:
    """State and orders that ride with a turn give the same bytes as the long way, on an engine that knows nothing."""
    long, start = begun()
    order(long, 1, [SEND])
    wanted = long.turn(turn())
    state = start["state"]
    assert Engine().turn(turn(state=state, orders={"1": [SEND]})) == wanted
    other, _ = begun(4, seed="another")
    order(other, 1, [])
    assert other.turn(turn(state=state, orders={"1": [SEND]})) == wanted
    assert other.turn(turn()) == wanted
    assert Engine().turn(turn(state=state)) == begun()[0].turn(turn())
    posted, _ = begun()
    order(posted, 1, [OTHER])
    assert posted.turn(turn(orders={"1": [SEND]})) == wanted


@pytest.mark.parametrize(
    ("orders", "code"),
    [({"1": [{**SEND, "ships": 99}]}, "bad_orders"), ({"3": []}, "bad_request"), ({"x": []}, "bad_request"),
     ([], "bad_request"), ({"1": {}}, "bad_request"), (None, "bad_request")],
)  # fmt: skip
def test_bad_bundle(orders: object, code: str) -> None:
    """A bundle with a fault is refused whole: the former game and its orders stand."""
    engine, _ = begun(3)
    order(engine, 1, [SEND])
    assert refused(engine.turn, turn(state=begun()[1]["state"], orders=orders)) == (422, code)
    wanted, _ = begun(3)
    order(wanted, 1, [SEND])
    assert engine.turn(turn()) == wanted.turn(turn())


def test_validate() -> None:
    """Validation judges as posting does, foretells, and changes nothing."""
    engine, _ = begun()
    order(engine, 1, [OTHER])
    wanted, _ = begun()
    order(wanted, 1, [OTHER])
    fine = json.loads(engine.validate(1, {"turn": 0, "orders": [SEND]}))
    assert fine["accepted"] is True
    assert fine["forecast"][0]["arrives"] == 1
    assert json.loads(engine.validate(1, {"turn": 0, "orders": [7]})) == order(engine, 1, [7])
    engine.options(1)
    engine.suggest(1, {"turn": 0, "seed": "x"})
    assert engine.turn(turn()) == wanted.turn(turn())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"order": st.sampled_from(["send", "name", "burn"])},
            optional={name: st.integers(0, 12) for name in ("from", "to", "ships", "planet")}
            | {"name": st.text(max_size=5)},
        ),
        max_size=4,
    )
)
def test_validate_agrees(orders: list[dict[str, object]]) -> None:
    """Validation and posting give the same verdict on the same set."""
    engine, _ = begun()
    foretold = json.loads(engine.validate(1, {"turn": 0, "orders": orders}))
    foretold.pop("forecast", None)
    assert foretold == order(engine, 1, orders)


def test_suggest() -> None:
    """A suggestion is a set for this turn that is accepted."""
    engine, _ = begun()
    suggested = json.loads(engine.suggest(1, {"turn": 0}))
    assert suggested["turn"] == 0
    assert order(engine, 1, suggested["orders"])["accepted"]


def test_finished() -> None:
    """After the end nothing is awaited, the last answer is given again, and everything else is 409."""
    engine, position, answer = finished()
    assert position["finished"] is True
    assert position["awaiting"] == []
    assert position["result"]["winners"] == [1, 2]
    assert position["result"]["scores"] == {"1": 6, "2": 6}
    assert engine.turn(turn(9)) == answer
    assert refused(engine.turn, turn(10)) == (409, "finished")
    assert refused(engine.order, 1, {"turn": 10, "orders": []}) == (409, "finished")
    assert refused(Engine().turn, turn(10, state=position["state"])) == (409, "finished")


def test_eliminated() -> None:
    """Who is out is listed, not awaited, and may order nothing; the report still comes."""
    engine, _ = begun(3)
    game = engine._held()
    game.planets[2].owner = 0
    position = json.loads(engine.turn(turn()))
    assert position["eliminated"] == [2]
    assert position["awaiting"] == [1, 3]
    assert "out since turn 1" in position["reports"]["2"]["text"]
    assert order(engine, 2, [], 1)["errors"][0]["code"] == "out"
    assert refused(engine.suggest, 2, {"turn": 1}) == (409, "out")


def test_without_planets_is_not_awaited() -> None:
    """Nobody waits for a seat that has fleets under way and nothing to decide."""
    engine, _ = begun(3)
    order(engine, 2, [{"order": "send", "from": 2, "to": 5, "ships": 12}])
    game = engine._held()
    game.planets[5].x += 40
    game.seats[2].seen[5] = game.seats[1].seen[1]
    order(engine, 2, [{"order": "send", "from": 2, "to": 5, "ships": 12}])
    engine.turn(turn())
    engine._held().planets[2].owner = 0
    position = json.loads(engine.turn(turn(1)))
    assert position["awaiting"] == [1, 3]
    assert position["eliminated"] == []


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["init", "load", "order", "validate", "suggest", "turn"]),
    JSON | st.fixed_dictionaries(
        {},
        optional={name: JSON | st.just(0) for name in ("turn", "options", "state", "absent", "vacant")}
        | {"seed": JSON | st.just("s"), "seats": JSON | st.just(init()["seats"])}
        | {"orders": st.lists(JSON) | st.dictionaries(st.sampled_from(["1", "2", "9"]), JSON) | JSON},
    ),
)  # fmt: skip
def test_rubbish(name: str, body: object) -> None:
    """Whatever is sent is answered or refused; nothing else is ever raised."""
    engine, _ = begun()
    call = getattr(engine, name)
    try:
        answer = call(1, body) if name in {"order", "validate", "suggest"} else call(body)
    except Refusal as refusal:
        assert refusal.status in {404, 409, 422}
    else:
        json.loads(answer)
