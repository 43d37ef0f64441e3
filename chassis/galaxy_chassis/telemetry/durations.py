"""How long requests took, counted in plain lists on the request path.

OpenTelemetry's own histogram costs several microseconds a measurement: it builds and hashes the attributes and
takes a lock each time. Here a measurement is a dictionary look-up, a bisection and three additions. When a reader
collects, the lists become data points of the SDK's own type, so that what is exported is exactly what was
measured: the same count, sum and buckets that the SDK's histogram would have had.
"""

import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ScopeMetrics,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from galaxy_chassis.telemetry import instruments


class Series:
    """The measurements with one set of attributes."""

    __slots__ = ("attributes", "bounds", "buckets", "longest", "shortest", "total")

    def __init__(self, attributes: Mapping[str, str | int], bounds: tuple[float, ...]) -> None:
        self.attributes, self.bounds = attributes, bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.shortest, self.longest = float("inf"), 0.0

    def add(self, seconds: float) -> None:
        """Count one measurement; a boundary belongs to the bucket below it."""
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
        if seconds > self.longest:  # noqa: PLR1730  a call would cost more than all the rest
            self.longest = seconds
        if seconds < self.shortest:  # noqa: PLR1730  as above
            self.shortest = seconds

    def point(self, since: int, now: int) -> HistogramDataPoint:
        """Return the data point; times in nanoseconds since 1970."""
        buckets = tuple(self.buckets)
        return HistogramDataPoint(
            self.attributes, since, now, sum(buckets), self.total, buckets, self.bounds, self.shortest, self.longest
        )


class Durations:
    """One histogram in seconds, cumulative since the start.

    Written by the event loop's thread and read by the exporter's: a collection in the middle of a measurement may miss
    it in its sum, and has it the next time.
    """

    def __init__(self, metric: instruments.Histogram, scope: str) -> None:
        self._metric, self._scope = metric, InstrumentationScope(scope)
        self._since = time.time_ns()
        self._series: dict[object, Series] = {}

    def get(self, key: object) -> Series | None:
        """Return the series under this key."""
        return self._series.get(key)

    def make(self, key: object, attributes: Mapping[str, str | int]) -> Series:
        """Begin a series."""
        return self._series.setdefault(key, Series(attributes, self._metric.bounds))

    def added_to(self, collected: MetricsData) -> MetricsData:
        """Return what the SDK collected together with this histogram."""
        now = time.time_ns()
        points = [series.point(self._since, now) for series in list(self._series.values())]
        if not points:
            return collected
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
        metric = Metric(self._metric.name, self._metric.description, self._metric.unit, data)
        scope = ScopeMetrics(self._scope, [metric], "")
        first, *others = collected.resource_metrics
        return MetricsData([replace(first, scope_metrics=[*first.scope_metrics, scope]), *others])
