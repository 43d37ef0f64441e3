"""How long requests took, counted as the SDK would."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from galaxy_chassis.telemetry.durations import Durations
from galaxy_chassis.telemetry.instruments import Histogram

BOUNDS = (0.005, 0.25, 1.0, 10.0)


@settings(deadline=None, max_examples=60)  # other load on the machine is not a failure
@given(st.lists(st.floats(0, 60) | st.sampled_from(BOUNDS), min_size=1))
def test_durations_are_what_the_sdk_would_measure(seconds: list[float]) -> None:
    """Count, sum, buckets and extremes are exactly those of the SDK's histogram with the same boundaries."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("h", "s", explicit_bucket_boundaries_advisory=list(BOUNDS))
    durations = Durations(Histogram("h", "", unit="s", bounds=BOUNDS), "ours")
    series = durations.make("key", {})
    for each in seconds:
        histogram.record(each)
        series.add(each)
    data = reader.get_metrics_data()
    assert data is not None
    theirs: Any
    ours: Any
    (theirs,), (ours,) = (
        scope.metrics[0].data.data_points for scope in durations.added_to(data).resource_metrics[0].scope_metrics
    )
    assert (ours.count, list(ours.bucket_counts)) == (theirs.count, list(theirs.bucket_counts))
    assert (ours.sum, ours.min, ours.max) == pytest.approx((theirs.sum, theirs.min, theirs.max))
    provider.shutdown()
