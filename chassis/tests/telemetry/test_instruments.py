"""Metrics as they are declared, and what is exported of them."""

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_chassis.telemetry.instruments import Counter, Gauge, Histogram


class Exported:
    """A meter, and what a reader collects from it."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.meter = self._provider.get_meter("test")

    def metrics(self) -> list[Any]:
        data: Any = self._reader.get_metrics_data()
        return (
            [] if data is None else [each for r in data.resource_metrics for s in r.scope_metrics for each in s.metrics]
        )

    def metric(self) -> Any:
        (metric,) = self.metrics()
        return metric

    def values(self) -> dict[tuple[str, ...], float]:
        return {tuple(point.attributes.values()): point.value for point in self.metric().data.data_points}


def test_an_instrument_has_what_was_declared() -> None:
    """Name, description and unit reach the exporter, and so do a histogram's bounds."""
    exported = Exported()
    Histogram("mail.duration", "How long.", ("kind",), "s", (0.5, 2.0)).on(exported.meter).record(1.0, {"kind": "x"})
    metric = exported.metric()
    assert (metric.name, metric.description, metric.unit) == ("mail.duration", "How long.", "s")
    (point,) = metric.data.data_points
    assert (point.explicit_bounds, point.bucket_counts) == ((0.5, 2.0), (0, 1, 0))


def test_counters_add_up_and_gauges_are_set() -> None:
    """The two differ in what the last call says."""
    counted, gauged = Exported(), Exported()
    counter, gauge = Counter("a", "").on(counted.meter), Gauge("b", "").on(gauged.meter)
    for number in (2, 3):
        counter.add(number)
        gauge.set(number)
    assert (counted.values(), gauged.values()) == ({(): 5}, {(): 3})
    assert counted.metric().data.is_monotonic


def test_what_is_observed_is_read_at_each_collection() -> None:
    """A number, one by the value of the only label, or by those of several, in the order in which they are declared."""
    readings: list[tuple[tuple[str, ...], Any, dict[tuple[str, ...], float]]] = [
        ((), 7, {(): 7}),
        (("cache",), {"auth.sessions": 1, "user.accounts": 2}, {("auth.sessions",): 1, ("user.accounts",): 2}),
        (("plugin", "check"), {("mail", "relay"): 2}, {("mail", "relay"): 2}),
    ]
    for labels, read, expected in readings:
        for kind in (Counter, Gauge):
            exported = Exported()
            kind("m", "", labels).observe(exported.meter, lambda read=read: read)  # type: ignore[misc]
            assert exported.values() == expected
            (first, *_) = exported.metric().data.data_points
            assert tuple(first.attributes) == labels


def test_nothing_is_exported_of_what_is_not_known() -> None:
    """An empty mapping makes a gap, not a zero; and later readings are exported again."""
    exported, known = Exported(), dict[str, float]()
    Gauge("mail.queued", "", ("state",)).observe(exported.meter, lambda: known)
    assert exported.metrics() == []
    known["pending"] = 3
    assert exported.values() == {("pending",): 3}
