"""Metrics of idempotent calls."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_gateway.idempotency.metrics import IdempotencyMetrics


def test_each_outcome_is_counted() -> None:
    """Beginnings and ends apart, by outcome."""
    reader = InMemoryMetricReader()
    metrics = IdempotencyMetrics(MeterProvider([reader]).get_meter("test"))
    metrics.began("run")
    metrics.began("replayed")
    metrics.began("replayed")
    metrics.ended("kept")
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        (metric.name, *point.attributes.values()): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    assert found == {
        ("gateway.idempotent_calls", "run"): 1,
        ("gateway.idempotent_calls", "replayed"): 2,
        ("gateway.idempotent_answers", "kept"): 1,
    }
