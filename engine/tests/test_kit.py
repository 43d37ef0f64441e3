"""The kit passes engines that conform, and names what is wrong with each that does not."""

import importlib.util
import json
import re
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from galaxy_engine.drivers.process import ProcessDriver
from galaxy_engine.kit.checks import all_checks
from galaxy_engine.kit.examination import Settings
from galaxy_engine.kit.findings import Result
from galaxy_engine.kit.launched import LaunchedSubject
from galaxy_engine.kit.running import Report, examine
from galaxy_engine.kit.subject import Engine
from galaxy_engine.kit.trace import Trace
from galaxy_engine.transport import Answer, Pieces

Check = Callable[..., Awaitable[Report]]
ENGINES = Path(__file__).parent / "engines"


QUICK = {"pause": 0.0, "seconds": 20.0, "start_within": 20.0}
SERVER = {"K02", "K38", "K40", "K41"}
"""Checks that look at a server or process, not at what it answers."""


@pytest.fixture
def checked(tmp_path: Path) -> Check:
    """Examine one of the engines beside this file, started as processes."""

    async def check(engine: str, fault: str = "", only: Sequence[str] = (), **settings: Any) -> Report:
        program = tmp_path / engine
        program.write_text(f"#!{sys.executable}\n{(ENGINES / engine).read_text()}")
        program.chmod(0o755)
        owner, trace = str(uuid.uuid4()), Trace()
        driver = ProcessDriver(owner, tmp_path / "run", {"FAULT": fault, "PATH": "/usr/bin:/bin"})
        subject = LaunchedSubject(str(program), driver, owner, trace)
        report = await examine(subject, trace, Settings(**{**QUICK, **settings}), only)
        assert await ProcessDriver(owner, tmp_path / "run").observe() == []
        return report

    return check


class CalledDirectly:
    """Stands in for a transport: the engines are modules in this process."""

    def __init__(self) -> None:
        self.engines: dict[str, ModuleType] = {}

    async def exchange(
        self, method: str, address: str, path: str, body: Pieces, *, headers: dict[str, str], **limits: Any
    ) -> Answer:
        status, document = self.engines[address].respond(path, headers.get("Authorization"), b"".join(body))
        return Answer(status, bytearray(json.dumps(document).encode()))


class ModuleSubject:
    """Engines that are modules: no process, no socket, and much faster."""

    name, kind, launches = "small.py", "process", True

    def __init__(self, trace: Trace) -> None:
        self.transport = CalledDirectly()
        self.trace = trace

    async def start(self, variant: int, port: int | None = None) -> Engine:
        address = f"module:{len(self.transport.engines)}"
        spec = importlib.util.spec_from_file_location("small", ENGINES / "small.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.transport.engines[address] = module
        return Engine(self.transport, address, self.trace, token="secret")  # type: ignore[arg-type]

    async def stop(self, engine: Engine, grace: float) -> None:
        del self.transport.engines[engine.address]

    async def state(self, engine: Engine) -> str:
        return "running"

    async def close(self) -> str:
        self.transport.engines.clear()
        return ""


@pytest.fixture
def checked_directly(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Examine the small engine as modules in this process, but for what makes it a server."""

    async def check(engine: str, fault: str = "", only: Sequence[str] = (), **settings: Any) -> Report:
        monkeypatch.setenv("FAULT", fault)
        monkeypatch.setenv("GALAXY_TOKEN", "secret")
        trace = Trace()
        chosen = only or [identity for identity in all_checks() if identity not in SERVER]
        return await examine(ModuleSubject(trace), trace, Settings(**{**QUICK, **settings}), chosen)

    return check


def not_passed(report: Report) -> dict[str, Result]:
    return {result.id: result for result in report.results if result.outcome in ("failed", "warned")}


def outcomes(report: Report, outcome: str) -> set[str]:
    return {result.id for result in report.results if result.outcome == outcome}


async def test_a_conforming_engine_passes(checked) -> None:
    """Nothing is wrong with it, and only the box is not looked at."""
    report = await checked("small.py")
    assert {key: (result.detail, result.came) for key, result in not_passed(report).items()} == {}
    assert outcomes(report, "skipped") == {"K42"}
    assert report.conforms
    assert report.engine == "small 1.0.0"
    assert report.accepted["options"] > 0
    assert not report.only_empty


async def test_the_least_that_conforms_passes(checked) -> None:
    """An engine without anything optional conforms; what it does not have is skipped or noted, with the reason."""
    report = await checked("bare.py", seconds=1.0)
    assert set(not_passed(report)) == {"K09"}  # it takes any number of seats, which is a warning
    assert report.conforms
    assert report.only_empty
    assert outcomes(report, "skipped") == {"K11", "K14", "K30", "K33", "K35", "K36", "K37", "K42"}
    assert outcomes(report, "noted") == {"K08", "K32", "K44"}
    assert all(result.detail for result in report.results if result.outcome != "passed")


@pytest.mark.parametrize("variant", ["takes_anything", "no_token", "strict_orders"])
async def test_other_ways_to_conform_pass(checked, variant: str) -> None:
    """Taking large bodies, not asking for the token, refusing bad orders with 4xx: all of it is allowed."""
    report = await checked("small.py", variant)
    assert not_passed(report) == {}
    assert report.conforms


FAULTS = [
    ("exits", "K01", "ended with exit code 1; it wrote: no configuration"),
    ("never_healthy", "K01", "none; the engine: running"),
    ("min_above_max", "K03", "min is larger than max"),
    ("describe_changes", "K04", '$.title is "after 0" in one, "after 1" in the other'),
    ("schema_is_none", "K05", "'objekt' is not valid"),
    ("report_for_four_missing", "K06", "no report for seat 4"),
    ("random_init", "K07", "$.state.log[0] is"),
    ("options_break", "K10", "status 500"),
    ("offers_too_much", "K11", '"accepted": false'),
    ("rubbish_breaks", "K12", "status 500"),
    ("deep_kills", "K12", "ended with exit code 1"),
    ("refused_clears", "K13", "$."),
    ("sets_add_up", "K14", "$.state.points"),
    ("posting_order_matters", "K15", "$.state.points"),
    ("wrong_turn_is_400", "K16", "status 400"),
    ("any_turn", "K16", '"accepted": true'),
    ("any_seat", "K17", '"accepted": true'),
    ("seat_breaks", "K17", "status 500"),
    ("random_state", "K18", "$.state.log[0] is"),
    ("clock", "K18", "$.state.log[0] is"),
    ("counter", "K18", "$.state.log[0] is"),
    ("hash_order", "K18", "$.state.log[0] is"),
    ("locale", "K18", "$.state.log[0] is 3 in one, 18 in the other"),
    ("no_repeat", "K19", "status 409"),
    ("counter_since_load", "K20", "$.state.log[0] is"),
    ("orders_kept", "K21", "$.state.points"),
    ("orders_survive_load", "K22", "$.state.points"),
    ("memory_of_init", "K22", "$.state.log[0] is true in one, false in the other"),
    ("only_after_init", "K23", "$.state.log[0] is true in one, false in the other"),
    ("absent_unknown", "K24", "orders_missing"),
    ("vacant_breaks", "K25", "status 500"),
    ("dies_afterwards", "K25", "ended with exit code 3"),
    ("turn_number_jumps", "K26", "position 5: turn is 6, not 5"),
    ("awaits_eliminated", "K27", "which is eliminated"),
    ("eliminated_returns", "K28", "were eliminated, and are not now"),
    ("report_missing", "K29", "no report for seat"),
    ("state_in_report", "K31", '{"game": "'),
    ("state_as_text_in_report", "K31", '{"game": "'),
    ("no_result", "K33", "finished without a result"),
    ("stranger_wins", "K33", "the result has seat 9"),
    ("strict_init", "K34", "unknown_member"),
    ("strict_turn", "K34", "unknown_member"),
    ("validate_disagrees", "K35", '"accepted": true'),
    ("validate_posts", "K35", "$.state.points"),
    ("suggest_changes", "K36", "$.state.log["),
    ("suggest_random", "K36", '[{"order": "say"'),
    ("bundle_forgets_orders", "K37", "$.state.points"),
    ("one_thread", "K38", "took longer than 1 s"),
    ("ignores_sigterm", "K41", "killed after that"),
    ("token_breaks", "K44", "status 500"),
]


@pytest.mark.parametrize(("fault", "identity", "came"), FAULTS, ids=[fault for fault, _, _ in FAULTS])
async def test_each_fault_fails_at_its_check(checked, checked_directly, fault: str, identity: str, came: str) -> None:
    """One fault fails one check, for the right reason; what depends on it is skipped and says so."""
    quick = {"start_within": 1.0} if identity == "K01" else {"stop_within": 1.0} if identity == "K41" else {}
    examined = checked if fault in PROCESSES else checked_directly
    report = await examined("small.py", fault, **quick, answer_within=1.0)
    wrong = not_passed(report)
    assert set(wrong) == {identity}, {key: (result.detail, result.came) for key, result in wrong.items()}
    result = wrong[identity]
    assert result.outcome == "failed"
    assert came in result.came
    assert result.expected
    assert result.rule
    assert identity in ("K01", "K41") or result.calls
    assert not report.conforms
    own = {"K42"} | ({"K33"} if fault == "turn_number_jumps" else set())  # skipped for reasons of their own
    dependent = [each for each in report.results if each.outcome == "skipped" and each.id not in own]
    assert all(each.cause == identity for each in dependent), [(each.id, each.detail) for each in dependent]


PROCESSES = {
    "exits",
    "never_healthy",
    "deep_kills",
    "dies_afterwards",
    "clock",
    "hash_order",
    "locale",
    "only_after_init",
    "one_thread",
    "ignores_sigterm",
    "token_breaks",
}
"""Faults that show in processes only, and one of those that show in both."""

WARNINGS = [
    ("any_seats", "K09", "games with 2 and 5 seats begin"),
    ("awaits_nobody", "K27", "no seat may order"),
    ("leak", "K30", "is in the report of seat"),
    ("state_in_part_in_report", "K31", "200 characters of the state are in the report of seat 2"),
    ("goes_on", "K33", "a finished game goes on"),
    ("two_writes", "K40", "answers are written in two pieces"),
    ("state_grows", "K43", "the state grows by 1000"),
]


@pytest.mark.parametrize(("fault", "identity", "said"), WARNINGS, ids=[fault for fault, _, _ in WARNINGS])
async def test_what_may_be_intended_is_a_warning(
    checked, checked_directly, fault: str, identity: str, said: str
) -> None:
    """A conforming engine may do it, so it is said and does not fail."""
    report = await (checked if identity in SERVER else checked_directly)("small.py", fault)
    assert {key: result.outcome for key, result in not_passed(report).items()} == {identity: "warned"}
    assert said in not_passed(report)[identity].detail
    assert report.conforms


@pytest.mark.parametrize(("fault", "identity"), [("ignores_seed", "K08"), ("never_ends", "K32"), ("no_token", "K44")])
async def test_what_is_worth_knowing_is_a_note(checked_directly, fault: str, identity: str) -> None:
    """No fault, and said all the same."""
    report = await checked_directly("small.py", fault, seconds=0.5)
    assert outcomes(report, "noted") == {identity}
    assert not_passed(report) == {}


def test_every_fault_of_the_engine_is_tested() -> None:
    """No fault is written and forgotten."""
    text = (ENGINES / "small.py").read_text()
    tested = {fault for fault, _, _ in FAULTS + WARNINGS} | {"takes_anything", "no_token", "strict_orders"}
    tested |= {"ignores_seed", "never_ends"}
    tested |= {"deaf_to_port"}  # as an image, in test_cli_docker.py
    assert all(f'"{fault}"' in text for fault in tested)
    named = set(re.findall(r'FAULT [!=]= "(\w+)"', text))
    assert named <= tested


def test_there_are_all_checks() -> None:
    """K01 to K44, each with a title and a rule."""
    checks = all_checks()
    assert list(checks) == [f"K{number:02}" for number in range(1, 45)]
    assert all(check.title and check.rule for check in checks.values())
    assert len({check.title for check in checks.values()}) == 44


async def test_only_some_checks(checked_directly) -> None:
    """Those that were asked for are made, with what they need, and a failure beneath them is theirs too."""
    report = await checked_directly("small.py", only=("K21", "K33"))
    assert [(result.id, result.outcome) for result in report.results] == [("K21", "passed"), ("K33", "passed")]
    report = await checked_directly("small.py", "random_state", only=("K21",))
    assert [(result.id, result.outcome, result.cause) for result in report.results] == [("K21", "skipped", "K18")]
    assert "$.state.log[0]" in report.results[0].detail
    assert not report.conforms
