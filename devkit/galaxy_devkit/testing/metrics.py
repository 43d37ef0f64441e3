"""What a booted kernel measures."""

from typing import Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from galaxy_devkit.testing.kernel import Booted


class Measured:
    """Reads the metrics of a booted kernel. Counters count from here on, unless they are observed."""

    def __init__(self, booted: Booted) -> None:
        self._reader = InMemoryMetricReader()
        booted.kernel.assembly.telemetry.add_reader(self._reader)

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """Return a metric's values by the values of its labels; of a histogram, how often was measured."""
        data: Any = self._reader.get_metrics_data()
        scopes = [] if data is None else [scope for each in data.resource_metrics for scope in each.scope_metrics]
        points = [
            point for scope in scopes for each in scope.metrics if each.name == name for point in each.data.data_points
        ]
        return {tuple(map(str, point.attributes.values())): _number(point) for point in points}


def _number(point: Any) -> float:
    return float(point.count if isinstance(point, HistogramDataPoint) else point.value)
