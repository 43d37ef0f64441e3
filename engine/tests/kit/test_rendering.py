"""A report as text."""

from galaxy_engine.kit.findings import Result
from galaxy_engine.kit.orders import SOURCES
from galaxy_engine.kit.rendering import as_text
from galaxy_engine.kit.running import Report


def report(*results: Result, **changes: object) -> Report:
    values = {
        "subject": "engine:1",
        "kind": "docker",
        "engine": "small 1.0.0",
        "seed": "galaxy",
        "seconds": 1.5,
        "orders": "sets of orders tried: 3 empty (3 accepted)",
        "tried": dict.fromkeys(SOURCES, 0),
        "accepted": dict.fromkeys(SOURCES, 0),
        "only_empty": False,
        "results": results,
    }
    return Report(**{**values, **changes})  # type: ignore[arg-type]


FAILURE = Result(
    "K18", "turn is deterministic", "Same input.", "failed", "differ", "the same", "\x1b[31mred\n", ("curl x",)
)


def test_the_first_line_counts_the_orders() -> None:
    """And warns where nothing but empty sets was accepted."""
    lines = as_text(report(only_empty=True)).splitlines()
    assert lines[0] == "sets of orders tried: 3 empty (3 accepted)"
    assert lines[1].startswith("warning: nothing but empty sets was accepted")


def test_a_failure_is_shown_in_full() -> None:
    """What was expected, what came, the rule and the calls; without what a terminal would obey."""
    text = as_text(report(FAILURE))
    assert "  expected: the same\n  came: \ufffd[31mred\ufffd\n  rule: Same input.\n  done:\n    curl x\n" in text
    assert "\x1b" not in text
    assert text.splitlines()[-1] == "engine:1 does not conform: 1 failed, in 1.5 s"


def test_the_cause_is_said_once() -> None:
    """A check that needs a failed one names it; where that was not asked for, it says what failed."""
    skipped = Result("K21", "t", "r", "skipped", "needs K18: differ; expected this, came that", cause="K18")
    assert "K21  skipped  t: needs K18, which failed" in as_text(report(FAILURE, skipped))
    assert "K21  skipped  t: needs K18: differ; expected this, came that" in as_text(report(skipped))


def test_a_check_that_depends_on_a_failure_is_bad() -> None:
    """Skipping what could not be seen because of a fault does not make an engine conform."""
    skipped = Result("K21", "t", "r", "skipped", "needs K18", cause="K18")
    plain = Result("K42", "t", "r", "skipped", "no box")
    assert not report(skipped).conforms
    assert report(plain).conforms
