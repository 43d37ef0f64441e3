"""The short forms of `make endurance`: processes, Postgres, connections and the relay fail, and nothing is lost.

They run as a process of their own, as the long forms do; the other tests here check the checkers.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

ROOT = Path(__file__).parent.parent
SEED = 3


@pytest.fixture
def endurance(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a function that imports a module of `bench.endurance`, which is not a distribution."""
    monkeypatch.syspath_prepend(str(ROOT))
    import importlib

    return lambda name: importlib.import_module(f"bench.endurance.{name}")


async def verdict_of(scenario: str) -> tuple[dict[str, Any], int | None]:
    """Run the short form of a scenario; return its verdict and the exit status."""
    command = (sys.executable, "-m", "bench.endurance", "--short", "--json", "--seed", str(SEED), scenario)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
    said, complaints = await process.communicate()
    assert said, complaints.decode()
    (verdict,) = json.loads(said)
    return verdict, process.returncode


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "operations", "kills"), [("boot", 2, 1), ("mail", 30, 3), ("caches", 500, 8)])
async def test_nothing_is_lost(scenario: str, operations: int, kills: int) -> None:
    """After so many operations and kills nothing acknowledged is lost, every invariant holds, and all converges."""
    verdict, status = await verdict_of(scenario)
    assert (verdict["lost"], verdict["broken"]) == (0, []), verdict
    assert verdict["held"], verdict
    assert status == 0
    assert verdict["operations"] >= operations
    assert sum(verdict["kills"].values()) >= kills


@pytest.mark.slow
async def test_no_turn_runs_twice_and_no_order_is_lost() -> None:
    """Replicas are killed in mid-turn: each turn is there once, made of the orders that were accepted (S-18).

    How soon the next claim comes is measured by `make endurance`, on a machine that does nothing else.
    """
    verdict, _ = await verdict_of("turns")
    assert (verdict["lost"], verdict["duplicated"], verdict["broken"]) == (0, 0, []), verdict
    assert verdict["operations"] >= 16 and verdict["notes"]["kills that interrupted"] >= 3


def test_the_seed_replays_the_faults(endurance: Callable[[str], Any]) -> None:
    """A seed draws the same faults at the same operations every time, another seed others."""
    draw = endurance("schedule").draw

    def drawn(seed: int) -> list[Any]:
        return list(draw(random.Random(seed), 100, kill=5, restart=2))

    assert drawn(1) == drawn(1) != drawn(2)
    assert sorted(fault.kind for fault in drawn(1)) == ["kill"] * 5 + ["restart"] * 2
    assert len({fault.at for fault in drawn(1)}) == 7


def test_kills_fall_evenly_on_calls_to_docker(endurance: Callable[[str], Any]) -> None:
    """Of 100 kills ten are at calls that read; two kinds and sides of changing calls differ by one kill at most."""
    strikes = endurance("strikes")

    def drawn(seed: int, kills: int = 100) -> list[Any]:
        return list(strikes.draw(random.Random(seed), kills))

    assert drawn(1) == drawn(1) != drawn(2)
    struck = Counter(map(str, drawn(1)))
    assert sum(number for call, number in struck.items() if call.endswith(strikes.READING)) == 10
    changing = [struck[f"{stage} {kind}"] for kind in strikes.CHANGING for stage in ("before", "sent", "answered")]
    assert set(changing) == {4, 5} and sum(changing) == 90
    assert {each.occurrence for each in drawn(1) if each.kind == strikes.CREATE_NETWORK} == {1, 2}
    assert [each.stage for each in strikes.draw_few(random.Random(1))] == ["before", "sent", "answered"]


def test_a_call_to_docker_that_was_never_struck_is_named(endurance: Callable[[str], Any]) -> None:
    """A kind that no kill met on one side is reported, and so is a changing call that nobody thought of."""
    strikes = endurance("strikes")
    struck = Counter(map(str, strikes.draw(random.Random(1), 100)))
    assert strikes.never_struck(struck) == []
    del struck["sent POST images/create"]
    assert strikes.never_struck(struck) == ["sent POST images/create"]
    calls = {
        *strikes.CHANGING,
        *strikes.READING,
        "GET events",
        "POST containers/{id}/wait",
        "POST containers/{id}/kill",
    }
    assert strikes.unknown(calls) == ["POST containers/{id}/kill"]


def test_a_fault_waits_until_the_one_before_is_mended(endurance: Callable[[str], Any]) -> None:
    """No fault happens while another is in progress: one due meanwhile follows with the next operation."""
    module = endurance("schedule")
    first, second = module.Fault(2, "kill"), module.Fault(3, "restart")
    schedule = module.Schedule([first, second])
    assert [schedule.count() for _ in range(4)] == [None, first, None, None]
    schedule.mended()
    assert not schedule.over
    assert schedule.count() == second
    schedule.mended()
    assert schedule.over
    assert schedule.count() is None


ENTRY = {"recipient": "ada", "message_id": "<1@x>", "state": "sent", "attempts": 2}
HISTORY = {"numbers": [1, 2], "outcomes": ["lost", "sent"]}
MAIL = b"Message-ID: <1@x>\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    ("entry", "contents", "complaint"),
    [
        ({}, [MAIL], None),
        ({}, [MAIL, MAIL], None),
        ({"state": "retrying"}, [MAIL], "row not sent"),
        ({"numbers": [1, 3]}, [MAIL], "history with a gap"),
        ({"outcomes": ["sent", "sent"]}, [MAIL], "history with a gap"),
        ({"recipient": "bob"}, [MAIL], "acknowledged without a row"),
        ({"message_id": "<2@x>"}, [MAIL], "other Message-ID"),
        ({}, [MAIL, MAIL.replace(b"hello", b"HELLO")], "duplicate with other bytes"),
        ({}, [MAIL] * 3, "more mails than attempts"),
        ({}, [], "the relay never had it"),
    ],
)
def test_the_judge_of_mails_sees_each_fault(
    endurance: Callable[[str], Any], entry: dict[str, Any], contents: list[bytes], complaint: str | None
) -> None:
    """A wrong delivery is reported; a duplicate with the same bytes is correct."""
    ledger = endurance("ledger")
    arrived = {"ada": endurance("relay").Arrivals(contents)} if contents else {}
    broken = ledger.Ledger([ledger.Entry(**(ENTRY | HISTORY | entry))]).against({"ada"}, arrived)
    assert bool(broken) is (complaint is not None), broken
    assert complaint is None or any(complaint in each for each in broken)


def test_the_watcher_sees_a_step_back(endurance: Callable[[str], Any]) -> None:
    """An older version, and another row under the same version, are reported once each; deletion and return are not."""
    module = endurance("replica")
    memory: dict[str, Any] = {}
    watched = type("Watched", (), {"name": "r0", "cache": memory})()
    watcher = module.Watcher(watched, ["k"])

    def look(version: int | None, value: str = "") -> list[str]:
        memory.clear()
        if version is not None:
            memory["k"] = module.Item("k", version, value)
        watcher.look()
        watcher.look()
        return list(watcher.wrong)

    assert look(1) == look(2) == look(None) == look(3) == look(3) == []
    assert len(look(2)) == 1
    assert len(look(3, "another")) == 2
    assert len(look(None)) == len(look(4)) == 2


def test_the_verdict_is_only_held_when_everything_is(endurance: Callable[[str], Any]) -> None:
    """A loss, a broken invariant and lateness are each enough for NOT HELD, and are shown with their evidence."""
    module = endurance("verdict")

    def verdict(**wrong: Any) -> Any:
        good = {"lost": 0, "duplicated": 2, "converged_in": 1.0, "within": 5.0, "broken": []}
        return module.Verdict("S-0", "demo", 1, 10, {"process": 1}, **(good | wrong))

    assert verdict().held
    for wrong in ({"lost": 1}, {"broken": module.some("gap", ["here"])}, {"converged_in": 5.1}):
        assert not verdict(**wrong).held
        assert "NOT HELD" in module.lines(verdict(**wrong))
    assert "1 × gap: here" in module.lines(verdict(broken=module.some("gap", ["here"])))


def test_the_judge_of_turns_sees_orders_that_were_not_used(endurance: Callable[[str], Any]) -> None:
    """A set is used when its turn notes the digest of what was accepted; another set, digest or no row is a loss."""
    turns, players = endurance("turns"), endurance("players")
    sent, other = (UUID(int=1), 4, 2), (UUID(int=1), 4, 3)
    document = json.dumps(players.orders_of(sent)).encode()
    used = {"orders": document, "used_digest": sha256(document).digest()}
    assert turns._was_used(sent, used)
    assert not turns._was_used(other, used)
    assert not turns._was_used(sent, used | {"used_digest": None})
    assert not turns._was_used(sent, None)


def test_waits_are_those_of_killed_replicas(endurance: Callable[[str], Any]) -> None:
    """A wait runs from the kill to the next claim; a lease that a living replica lost is none."""
    module = endurance("claim_log")
    again = [module.Again(7, 114.5, 0.1), module.Again(8, 200.0, 0.0)]
    assert module.waits(again, {7: 100.0}) == [14.5]
