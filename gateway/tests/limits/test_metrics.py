"""Metrics of rate limits."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_gateway.limits.metrics import LimitMetrics


def test_each_outcome_is_counted() -> None:
    """Refusals by policy, and what happens while the store is away."""
    reader = InMemoryMetricReader()
    metrics = LimitMetrics(MeterProvider([reader]).get_meter("test"))
    metrics.refused("orders")
    metrics.refused("orders")
    metrics.limited_locally()
    metrics.unavailable()
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        (metric.name, *point.attributes.values()): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    assert found == {
        ("gateway.limits_refused", "orders"): 2,
        ("gateway.limits_unavailable", "local"): 1,
        ("gateway.limits_unavailable", "refused"): 1,
    }
