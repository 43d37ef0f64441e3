"""Named checks: what they find, since when, and whether the service is ready."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from structlog.testing import capture_logs

from galaxy_chassis import health
from galaxy_chassis.clock import ManualClock
from galaxy_chassis.health import Health, Probe, Probes
from galaxy_chassis.request_context import current_request


class Found:
    """A check whose finding the test sets, and which counts how often it is asked."""

    def __init__(self, state: Literal["ok", "degraded", "failed"] = "ok") -> None:
        self.health = Health(state)
        self.asked = 0

    async def __call__(self) -> Health:
        self.asked += 1
        return self.health


async def hang() -> Health:
    await asyncio.Event().wait()
    raise AssertionError


async def fail() -> Health:
    raise ConnectionError("ann@example.org refused")


async def body(probes: Probes) -> tuple[bool, dict[str, Any]]:
    ready, document = await probes.report()
    assert (document["status"] == "ready") is ready
    return ready, {check["name"]: check for check in document["checks"]}


@pytest.mark.parametrize(
    ("gates", "state", "ready", "shown"),
    [
        ("ready", "ok", True, "ok"),
        ("ready", "degraded", True, "degraded"),
        ("ready", "failed", False, "failed"),
        ("report", "ok", True, "ok"),
        ("report", "degraded", True, "degraded"),
        ("report", "failed", True, "degraded"),
    ],
)
async def test_only_a_failure_that_gates_takes_readiness_away(
    gates: Literal["ready", "report"], state: Literal["ok", "degraded", "failed"], ready: bool, shown: str
) -> None:
    """A check that only reports is shown as degraded at worst."""
    probes = Probes(ManualClock())
    probes.add("mail", [Probe("relay", Found(state), gates=gates)])
    was_ready, checks = await body(probes)
    assert (was_ready, checks["relay"]["state"], checks["relay"]["gates"]) == (ready, shown, gates)


async def test_without_checks_it_is_ready() -> None:
    """Nothing to look at is nothing wrong."""
    assert await Probes(ManualClock()).report() == (True, {"status": "ready", "checks": []})


async def test_the_kernels_checks_come_first_then_by_plugin_and_name() -> None:
    """A person finds a check where it was the last time."""
    probes = Probes(ManualClock())
    for plugin, name in (("mail", "b"), ("auth", "z"), ("kernel", "y"), ("mail", "a"), ("kernel", "x")):
        probes.add(plugin, [Probe(name, Found())])
    _, document = await probes.report()
    assert [check["name"] for check in document["checks"]] == ["x", "y", "z", "a", "b"]


@pytest.mark.parametrize(("check", "says"), [(hang, "no answer"), (fail, "ConnectionError")])
async def test_a_check_that_breaks_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[], Awaitable[Health]], says: str
) -> None:
    """One that hangs or raises has failed, without its message, and the others are shown all the same."""
    monkeypatch.setattr(health, "_TIMEOUT", 0.01)
    probes = Probes(ManualClock())
    probes.add("mail", [Probe("odd", check, gates="ready"), Probe("even", Found(), gates="ready")])
    ready, checks = await body(probes)
    assert not ready
    assert (checks["odd"]["state"], checks["even"]["state"]) == ("failed", "ok")
    assert says in checks["odd"]["detail"]
    assert "ann@" not in checks["odd"]["detail"]


async def test_a_check_that_breaks_is_its_plugins() -> None:
    """The log names the plugin, whoever asked, and what the check itself logs is the plugin's too."""
    seen: list[Any] = []

    async def check() -> Health:
        context, task = current_request.get(), asyncio.current_task()
        seen.append((context and context.plugin, task and task.get_name()))
        raise ConnectionError

    probes = Probes(ManualClock())
    probes.add("mail", [Probe("relay", check)])
    with capture_logs() as lines:
        await probes.report()
    assert [(line["event"], line["plugin"], line["probe"]) for line in lines] == [("probe_failed", "mail", "relay")]
    assert seen == [("mail", "probe mail.relay")]


async def test_a_check_that_ends_by_a_stray_cancellation_has_failed() -> None:
    """Readiness is answered all the same."""

    async def check() -> Health:
        raise asyncio.CancelledError

    probes = Probes(ManualClock())
    probes.add("mail", [Probe("relay", check, gates="ready")])
    ready, checks = await body(probes)
    assert not ready and checks["relay"]["state"] == "failed"


async def test_since_is_when_the_state_changed() -> None:
    """It moves with the state alone, not with each look or another detail."""
    clock, found = ManualClock(), Found()
    probes = Probes(clock)
    probes.add("mail", [Probe("relay", found, gates="ready")])
    seen = []
    for finding in (Health(), Health(), Health("failed", "gone"), Health("failed", "still gone"), Health()):
        clock.advance(timedelta(minutes=1))
        found.health = finding
        probes.forget()
        seen.append((await body(probes))[1]["relay"]["since"])
    assert [each[14:16] for each in seen] == ["01", "01", "03", "03", "05"]
    assert all(each.endswith("Z") for each in seen)


async def test_states_are_numbers_by_plugin_and_check() -> None:
    """0 ok, 1 degraded, 2 failed, as of the last look; a check that never ran has failed."""
    probes = Probes(ManualClock())
    found = {"ok": Found("ok"), "degraded": Found("degraded"), "failed": Found("failed")}
    probes.add("mail", [Probe(name, check, gates="ready") for name, check in found.items()])
    assert set(probes.states().values()) == {2}
    await probes.report()
    assert probes.states() == {("mail", "ok"): 0, ("mail", "degraded"): 1, ("mail", "failed"): 2}


async def test_checks_run_though_nobody_asks() -> None:
    """A running process looks at its checks again and again, so that states do not depend on probers."""
    probes, found = Probes(ManualClock()), Found()
    probes.add("mail", [Probe("relay", found)])
    running = asyncio.create_task(probes.run(0.0))
    async with asyncio.timeout(20):
        while found.asked < 2:
            probes.forget()
            await asyncio.sleep(0)
    running.cancel()
    assert probes.states() == {("mail", "relay"): 0}


async def test_probers_do_not_multiply_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is used again for a moment, also by those who ask at the same time; `forget` and `add` end that."""
    now = 100.0
    monkeypatch.setattr(health, "monotonic", lambda: now)
    probes, found = Probes(ManualClock()), Found()
    probes.add("mail", [Probe("relay", found)])
    await asyncio.gather(*(probes.report() for _ in range(5)))
    assert found.asked == 1
    now += health._MEMO
    await probes.report()
    assert found.asked == 2
    probes.forget()
    await probes.report()
    assert found.asked == 3
    probes.add("auth", [])
    await probes.report()
    assert found.asked == 4


async def test_what_changes_while_the_checks_run_is_not_missed() -> None:
    """`forget` during a report holds for the next one, although the report that runs has just looked."""
    probes, relay = Probes(ManualClock()), Found()
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def look() -> Health:
        looking.set()
        await go_on.wait()
        return Health()

    probes.add("mail", [Probe("queue", look), Probe("relay", relay)])
    first = asyncio.create_task(probes.report())
    await looking.wait()
    relay.health = Health("degraded", "refuses us")
    probes.forget()
    go_on.set()
    await first
    assert (await body(probes))[1]["relay"]["state"] == "degraded"
