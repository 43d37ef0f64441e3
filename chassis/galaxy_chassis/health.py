"""Readiness: named checks of the kernel and the plugins, and the body of `/readyz` (SPEC K-4)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Literal, NoReturn

from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.clock import Clock
from galaxy_chassis.logs import get_logger
from galaxy_chassis.request_context import request_context

_log = get_logger("galaxy_chassis.health")

_TIMEOUT = 2.0
"""Seconds a check may take: probers rarely wait longer."""
_MEMO = 0.25
"""Seconds for which a result is reused, so that many probers do not cause many checks."""
_NUMBERS = {"ok": 0, "degraded": 1, "failed": 2}


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a probe."""

    state: Literal["ok", "degraded", "failed"] = "ok"
    detail: str = ""
    """What is wrong and what to do; empty when nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A check shown by `/readyz`."""

    name: str
    check: Callable[[], Awaitable[Health]]
    """Cheap and without side effects; an exception counts as `failed`."""
    gates: Literal["ready", "report"] = "report"
    """`ready`: a failure turns `/readyz` to 503. `report`: it is only shown, as `degraded`."""


@dataclass(slots=True)
class _Check:
    plugin: str
    probe: Probe
    health: Health
    since: datetime


class Probes:
    """Every check of one kernel, and since when each has its state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._checks: list[_Check] = []
        self._asked = float("-inf")
        self._stale = False
        self._lock = asyncio.Lock()

    def add(self, plugin: str, probes: Iterable[Probe]) -> None:
        """Add checks; until they first run they count as failed."""
        now = self._clock.now()
        self._checks.extend(_Check(plugin, probe, Health("failed", "not checked yet"), now) for probe in probes)
        self.forget()

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Run the checks and return whether the service is ready, and the body for `/readyz`."""
        async with self._lock:
            if self._stale or monotonic() - self._asked >= _MEMO:
                self._stale = False  # before the checks run: what changes meanwhile, they may have missed
                asking = (asyncio.create_task(self._ask(check), name=_task_name(check)) for check in self._checks)
                await asyncio.gather(*asking)
                self._asked = monotonic()
        ready = all(check.health.state != "failed" for check in self._checks if check.probe.gates == "ready")
        rows = sorted(self._checks, key=lambda check: (check.plugin != "kernel", check.plugin, check.probe.name))
        return ready, {"status": "ready" if ready else "not_ready", "checks": [_row(check) for check in rows]}

    def states(self) -> dict[tuple[str, str], int]:
        """Return each check's state when it last ran, by plugin and name, as the metric `galaxy.check.state` has it."""
        return {(each.plugin, each.probe.name): _NUMBERS[each.health.state] for each in list(self._checks)}

    async def run(self, interval: float = 15.0) -> NoReturn:
        """Run the checks every `interval` seconds, so that `states` is recent whether or not anyone asks `/readyz`."""
        while True:
            await self.report()
            await asyncio.sleep(interval)

    def forget(self) -> None:
        """Run the checks again at the next report, since something has changed."""
        self._stale = True

    async def _ask(self, check: _Check) -> None:
        with request_context(check.plugin):  # its log lines, and the watchdog's, are the plugin's
            health = await _ask(check.plugin, check.probe)
        if check.probe.gates == "report" and health.state == "failed":
            health = Health("degraded", health.detail)
        if health.state != check.health.state:
            check.since = self._clock.now()
        check.health = health


def _task_name(check: _Check) -> str:
    return f"probe {check.plugin}.{check.probe.name}"


async def _ask(plugin: str, probe: Probe) -> Health:
    try:
        async with asyncio.timeout(_TIMEOUT):
            with own_cancellation_only():
                return await probe.check()
    except TimeoutError:
        return Health("failed", f"no answer within {_TIMEOUT:g} s")
    except Exception as error:  # a check that raises counts as failed, and never makes /readyz itself fail
        _log.warning("probe_failed", plugin=plugin, probe=probe.name, exc_info=error)
        return Health("failed", f"the check itself failed with {type(error).__name__}: see the logs")


_PUBLIC = ("name", "plugin", "state", "since")


def without_details(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `/readyz` for strangers: the details name hosts and errors."""
    checks = [{key: check[key] for key in _PUBLIC} for check in document.get("checks", ())]
    return {**document, "checks": checks} if "checks" in document else dict(document)


def _row(check: _Check) -> dict[str, Any]:
    return {
        "name": check.probe.name,
        "plugin": check.plugin,
        "state": check.health.state,
        "since": check.since.isoformat().replace("+00:00", "Z"),
        "gates": check.probe.gates,
        "detail": check.health.detail,
    }
