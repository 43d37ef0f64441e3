"""The plugin's metrics."""

from collections import Counter
from typing import Any

from galaxy_push.metrics import Metrics


class FakeMeter:
    """Keeps the values of instruments, by name."""

    def __init__(self) -> None:
        self.given: Counter[tuple[str, str]] = Counter()

    def create_counter(self, name: str, description: str) -> Any:
        return self._instrument(name)

    create_gauge = create_counter

    def _instrument(self, name: str) -> Any:
        given = self.given

        class Instrument:
            def add(self, number: int, attributes: Any = None) -> None:
                given[name, "".join((attributes or {}).values())] += number

            def set(self, number: int) -> None:
                given[name, ""] = number

        return Instrument()


def test_each_number_is_handed_over_once() -> None:
    """Counters get the increase since the last report, the gauge the current value."""
    meter: Any = FakeMeter()
    metrics = Metrics(meter)
    metrics.subscribers, metrics.sent, metrics.frames = 2, 100, 3
    metrics.cut_off["blocked"] += 1
    metrics.replays["resync"] += 2
    metrics.hand_over(read=50)
    metrics.subscribers = 1
    metrics.hand_over(read=1)
    assert meter.given == {
        ("push.subscribers", ""): 1,
        ("push.read", ""): 51,
        ("push.sent", ""): 100,
        ("push.frames", ""): 3,
        ("push.cut_off", "blocked"): 1,
        ("push.replays", "resync"): 2,
    }
