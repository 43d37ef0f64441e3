"""A report as text for people."""

from collections import Counter
from collections.abc import Iterator

from galaxy_engine.kit.findings import Outcome, Result
from galaxy_engine.kit.running import Report

_SIGNS: dict[Outcome, str] = {
    "passed": "ok",
    "failed": "FAILED",
    "warned": "warning",
    "noted": "note",
    "skipped": "skipped",
}
_WIDTH = max(map(len, _SIGNS.values()))


def as_text(report: Report) -> str:
    """Return a report as lines of text: a summary of the orders tried, a line a check, failures in full, the counts."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield report.orders
    if report.only_empty:
        yield "warning: nothing but empty sets was accepted, so most checks could see little; see --orders"
    yield f"{report.subject}: {report.engine or 'unknown engine'} ({report.kind}), seed {report.seed!r}"
    yield ""
    failed = {result.id for result in report.results if result.outcome == "failed"}
    for result in report.results:
        said = f"needs {result.cause}, which failed" if result.cause in failed else result.detail
        detail = f": {said}" if said else ""
        yield f"{result.id}  {_SIGNS[result.outcome]:{_WIDTH}}  {result.title}{_plain(detail)}"
    shown = [result for result in report.results if result.outcome in ("failed", "warned")]
    if any(result.calls for result in shown):
        yield ""
        yield from _how_to_paste(report)
    for result in shown:
        yield ""
        yield from _in_full(result)
    yield ""
    counts = Counter(result.outcome for result in report.results)
    parts = [f"{counts[outcome]} {outcome}" for outcome in _SIGNS if counts[outcome]]
    verdict = "conforms" if report.conforms else "does not conform"
    yield f"{report.subject} {verdict}: {', '.join(parts)}, in {report.seconds:.1f} s"


def _how_to_paste(report: Report) -> Iterator[str]:
    if report.kind == "url":
        yield f"The lines below can be pasted after: ENGINE={report.subject.rstrip('/')}"
    else:
        yield (
            "The lines below can be pasted after starting the engine with GALAXY_TOKEN and PORT of your choice, "
            "and saying ENGINE=http://HOST:PORT (OTHER and FRESH: a second and a third process)"
        )


def _in_full(result: Result) -> Iterator[str]:
    yield f"{result.id} {_SIGNS[result.outcome]}: {result.title}: {_plain(result.detail)}"
    for name, text in (("expected", result.expected), ("came", result.came), ("rule", result.rule)):
        if text:
            yield f"  {name}: {_plain(text)}"
    if result.calls:
        yield "  done:"
        yield from (f"    {_plain(call)}" for call in result.calls)


def _plain(text: str) -> str:
    """Return a text without what a terminal would obey: engines write what they like."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
