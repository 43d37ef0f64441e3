"""Making the checks, one after the other, and what is reported of them."""

import time
from collections.abc import Callable, Sequence

import msgspec

from galaxy_engine.kit.checks import all_checks
from galaxy_engine.kit.examination import Examination, Settings
from galaxy_engine.kit.findings import Failed, Finding, Result, Skipped
from galaxy_engine.kit.orders import SOURCES, Counts, only_empty, summary
from galaxy_engine.kit.registry import Check
from galaxy_engine.kit.subject import Subject
from galaxy_engine.kit.trace import Trace

Progress = Callable[[Check], None]


class Report(msgspec.Struct, frozen=True):
    """What an examination found."""

    subject: str
    kind: str
    """url, or the driver that started the engine."""
    engine: str
    """Its name and version, as far as it said them."""
    seed: str
    seconds: float
    orders: str
    """How many sets of orders of each source were tried."""
    tried: Counts
    accepted: Counts
    only_empty: bool
    """Whether no orders but empty sets were accepted: many checks could see little."""
    left_behind: str
    """Why engines that the kit started may still be there; "" if none is."""
    results: tuple[Result, ...]

    @property
    def conforms(self) -> bool:
        """Whether nothing that was looked at breaks a rule."""
        return not any(result.bad for result in self.results)


async def examine(
    subject: Subject, trace: Trace, settings: Settings, only: Sequence[str] = (), progress: Progress | None = None
) -> Report:
    """Return what the checks (those of these ids) find. The subject is closed whatever happens."""
    x = Examination(subject, settings, trace)
    began = time.monotonic()
    results: list[Result] = []
    killed_by = ""
    try:
        for check in all_checks().values():
            if only and check.id not in only:
                continue
            if progress:
                progress(check)
            if killed_by:
                gone = f"the engine does not answer since {killed_by}"
                results.append(_result(check, Skipped(gone, cause=killed_by)))
                continue
            result, up = await _see_to_it(x, check, await _make(x, check))
            killed_by = "" if up else check.id
            results.append(result)
    finally:
        left_behind = await subject.close()
    return _report(x, tuple(results), time.monotonic() - began, left_behind)


async def _see_to_it(x: Examination, check: Check, result: Result) -> tuple[Result, bool]:
    """Return the result and whether the engine is up; one that does not survive a check has not passed it."""
    try:
        down = await x.why_down()
        if not down:
            return result, True
        if result.outcome not in ("failed", "skipped"):
            expected = "200 from /healthz after the check"
            failed = Failed("the engine does not survive it", expected=expected, came=down)
            failed.calls = x.trace.curl(check.id)
            result = _result(check, failed)
        return result, await x.start_again()
    except Finding:
        return result, False


async def _make(x: Examination, check: Check) -> Result:
    x.current = check.id
    x.trace.restart()
    try:
        said = await check.run(x)
    except Finding as finding:
        finding.calls = finding.calls or x.trace.curl(check.id)
        return _result(check, finding)
    return Result(check.id, check.title, check.rule, "passed", said or "")


def _result(check: Check, finding: Finding) -> Result:
    calls = finding.calls if finding.outcome in ("failed", "warned") else ()
    return Result(
        check.id,
        check.title,
        check.rule,
        finding.outcome,
        str(finding),
        finding.expected,
        finding.came,
        calls,
        finding.cause,
    )


def _report(x: Examination, results: tuple[Result, ...], seconds: float, left_behind: str) -> Report:
    tried = x.sources.tried if x.sources else dict.fromkeys(SOURCES, 0)
    accepted = x.sources.accepted if x.sources else dict.fromkeys(SOURCES, 0)
    return Report(
        subject=x.subject.name,
        kind=x.subject.kind,
        engine=x.engine_name,
        seed=x.settings.seed,
        seconds=round(seconds, 1),
        orders=summary(tried, accepted),
        tried=tried,
        accepted=accepted,
        only_empty=any(tried.values()) and only_empty(accepted),
        left_behind=left_behind,
        results=results,
    )
