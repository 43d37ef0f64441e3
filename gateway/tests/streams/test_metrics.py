"""The numbers that are reported."""

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_gateway.streams import Metrics


def points(reader: InMemoryMetricReader) -> dict[tuple[str, str], Any]:
    """Return each value by the metric's name and its label."""
    data = reader.get_metrics_data()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    return {
        (metric.name, " ".join(str(value) for value in (point.attributes or {}).values())): point.value  # type: ignore[union-attr]
        for metric in metrics
        for point in metric.data.data_points
    }


def test_numbers_are_reported_once() -> None:
    """What was counted is added to the meter, and counted from zero afterwards; open streams are a gauge."""
    reader = InMemoryMetricReader()
    metrics = Metrics(MeterProvider([reader], shutdown_on_exit=False).get_meter("test"))
    metrics.streams, metrics.received, metrics.sent, metrics.replays = 3, 5, 7, 2
    metrics.opened["sse"] += 4
    metrics.ended["slow"] += 1
    metrics.refused["total"] += 6
    metrics.hand_over()
    metrics.sent = 1
    metrics.hand_over()
    found = points(reader)
    assert found["gateway.streams", ""] == 3
    assert (found["gateway.events.received", ""], found["gateway.events.sent", ""]) == (5, 8)
    assert (found["gateway.replays", ""], found["gateway.resyncs", ""]) == (2, 0)
    assert found["gateway.streams.opened", "sse"] == 4
    assert (found["gateway.streams.ended", "slow"], found["gateway.streams.refused", "total"]) == (1, 6)


async def test_what_happens_is_counted(backend: Any, gateway: Any) -> None:
    """Events count when they come and for each stream that gets them."""
    clients = [await gateway.open(session=f"s{n}") for n in range(3)]
    await gateway.live(3)
    await backend.publish(1)
    await backend.publish(2, account_id="bob")
    await clients[2].heard(1)
    await gateway.caught_up(backend)
    metrics = gateway.metrics
    assert (metrics.streams, metrics.received, metrics.sent, metrics.subscriptions) == (3, 2, 3, 1)
    assert metrics.opened == {"sse": 3}
