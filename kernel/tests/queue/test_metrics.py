"""Reports of a queue's attempts: lines by how grave they are, counters by outcome, and the backlog."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from structlog.testing import LogCapture

from galaxy_kernel.queue.metrics import QueueMetrics, declare_queue
from galaxy_kernel.queue.queue import Backlog

DECLARED = declare_queue("mail", "mails", "kind")


class Queue:
    """A queue that says of a result what the result says, and has a backlog."""

    states = SimpleNamespace(retrying="retrying", dead_lettered="dead_lettered")

    def state_after(self, result: Any) -> str:
        return str(result.outcome)

    async def backlog(self, connection: Any) -> Backlog:
        assert connection == "the connection"
        return Backlog(7, 90.0, 30.0, 2)


class Measured:
    """Metrics of a queue with what was logged and measured."""

    def __init__(self, level: int = logging.DEBUG) -> None:
        self.lines = LogCapture()
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider([self._reader], shutdown_on_exit=False)
        log = structlog.wrap_logger(
            None, processors=[self.lines], wrapper_class=structlog.make_filtering_bound_logger(level)
        )
        queue: Any = Queue()
        self.metrics = QueueMetrics("mail", queue, DECLARED, log=log, meter=self._provider.get_meter("m"))

    def points(self, name: str) -> list[tuple[dict[str, Any], float]]:
        data: Any = self._reader.get_metrics_data()
        if data is None:
            return []
        metrics = [metric for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics]
        return [
            (dict(point.attributes), point.value) for m in metrics if m.name == name for point in m.data.data_points
        ]


def attempt(outcome: str, number: int = 1) -> Any:
    return SimpleNamespace(outcome=outcome, claim=SimpleNamespace(attempt=number))


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        ("sent", "debug"),
        ("skipped", "debug"),
        ("released", "debug"),
        ("retrying", "info"),
        ("dead_lettered", "warning"),
    ],
)
def test_the_graver_the_louder(outcome: str, level: str) -> None:
    """What went well is for debugging, a mail that will never go is a warning; the line has labels and fields."""
    measured = Measured()
    measured.metrics.note(attempt(outcome, 3), "auth.code", smtp_code=450)
    assert measured.lines.entries == [
        {
            "event": "mail_attempt",
            "log_level": level,
            "kind": "auth.code",
            "smtp_code": 450,
            "attempt_no": 3,
            "outcome": outcome,
        }
    ]


def test_lines_below_the_level_are_not_made_and_still_counted() -> None:
    """Counters do not depend on what is logged."""
    measured = Measured(logging.WARNING)
    for outcome in ("sent", "retrying", "dead_lettered"):
        measured.metrics.note(attempt(outcome), "auth.code")
    assert [line["outcome"] for line in measured.lines.entries] == ["dead_lettered"]
    measured.metrics.hand_over()
    assert sum(value for _, value in measured.points("mail.attempts")) == 3


def test_attempts_are_counted_by_outcome_and_labels_when_they_are_handed_over() -> None:
    """The meter is asked once for many attempts, and nothing is counted twice."""
    measured = Measured()
    for outcome, kind in (("sent", "a"), ("sent", "a"), ("sent", "b"), ("retrying", "a")):
        measured.metrics.note(attempt(outcome), kind)
    assert measured.points("mail.attempts") == []
    measured.metrics.hand_over()
    measured.metrics.hand_over()
    measured.metrics.note(attempt("sent"), "a")
    measured.metrics.hand_over()
    found = {(labels["outcome"], labels["kind"]): value for labels, value in measured.points("mail.attempts")}
    assert found == {("sent", "a"): 3, ("sent", "b"): 1, ("retrying", "a"): 1}


@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_labels_are_as_many_as_were_named(labels: tuple[str, ...]) -> None:
    """A label too few or too many is a fault of the caller, not a counter of another shape."""
    measured = Measured()
    with pytest.raises(ValueError, match="zip"):
        measured.metrics.note(attempt("sent"), *labels)


async def test_the_backlog_is_measured_on_the_callers_connection() -> None:
    """Each part of it has the gauge of its name."""
    queue, connection = Queue(), "the connection"
    measured = await DECLARED.measure(queue, connection)  # type: ignore[arg-type]
    assert {gauge.name: value for gauge, value in measured.items()} == {
        "mail.queued": 7,
        "mail.oldest_age": 90,
        "mail.overdue": 30,
        "mail.dead_letters": 2,
    }
    assert tuple(measured) == DECLARED.gauges
