"""The plugin's metrics."""

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_devkit.testing import Measured
from galaxy_push.metrics import Metrics


def test_each_number_is_handed_over_once() -> None:
    """Counters get the increase since the last report, the gauge the current value."""
    reader = InMemoryMetricReader()
    metrics = Metrics(MeterProvider([reader], shutdown_on_exit=False).get_meter("test"))
    metrics.subscribers, metrics.sent, metrics.frames = 2, 100, 3
    metrics.cut_off["blocked"] += 1
    metrics.replays["resync"] += 2
    metrics.hand_over(read=50)
    metrics.subscribers = 1
    metrics.hand_over(read=1)
    data: Any = reader.get_metrics_data()
    exported = data.resource_metrics[0].scope_metrics[0].metrics
    assert {
        (each.name, *point.attributes.values()): point.value for each in exported for point in each.data.data_points
    } == {
        ("push.subscribers",): 1,
        ("push.read",): 51,
        ("push.sent",): 100,
        ("push.frames",): 3,
        ("push.cut_off", "blocked"): 1,
        ("push.replays", "resync"): 2,
    }


async def test_what_subscribers_receive_is_counted(backend: Any, gateway: Any) -> None:
    """Events read, events and frames received, and who is subscribed now."""
    measured = Measured(backend.booted)
    async with gateway.subscribed(backend.address):
        await backend.publish(1, 2, 3)
        await gateway.heard(3)
        await backend.until(lambda: measured.values("push.sent") == {(): 3})
        assert measured.values("push.read") == {(): 3}
        assert measured.values("push.frames") == {(): len(gateway.frames)}
        assert measured.values("push.subscribers") == {(): 1}
    await backend.until(lambda: measured.values("push.subscribers") == {(): 0})
