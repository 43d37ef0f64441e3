"""Making the checks, one after the other, and what is reported of them."""

import time
from collections.abc import Callable, Sequence

import msgspec

from galaxy_engine.kit.checks import all_checks
from galaxy_engine.kit.examination import Examination, Settings
from galaxy_engine.kit.findings import Finding, Result, Skipped
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
            result = (
                _result(check, Skipped(f"the engine does not answer since {killed_by}", cause=killed_by))
                if killed_by
                else await _make(x, check)
            )
            if not killed_by and not await x.revive():
                killed_by = check.id
            results.append(result)
    finally:
        await subject.close()
    return await _report(x, tuple(results), time.monotonic() - began)


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


async def _report(x: Examination, results: tuple[Result, ...], seconds: float) -> Report:
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
        results=results,
    )
