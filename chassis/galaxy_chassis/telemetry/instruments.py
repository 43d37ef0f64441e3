"""Metrics as they are declared: name, meaning, labels and unit, once each, in a file `metrics.py`.

`docs/runbook.md` has a table of all of them, which `make docs` writes from these declarations, and the alert rules are
checked against them. So instruments are made by a declaration, never by the meter's own methods.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import metrics as api
from opentelemetry.metrics import CallbackOptions, Meter, Observation

Reading = float | Mapping[Any, float]
"""A number, or several: by the value of the metric's one label, or by a tuple of the values of all, in their order."""
Read = Callable[[], Reading]
"""Called from the exporter's thread at each collection, so it must only read numbers."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What every kind of metric has."""

    name: str
    """As OpenTelemetry has it, with dots."""
    description: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    """By UCUM, as OpenTelemetry asks: `s`, `By`, or an annotation such as `{connection}`."""


@dataclass(frozen=True, slots=True)
class Counter(Metric):
    """A number that only grows while the process lives."""

    def on(self, meter: Meter) -> api.Counter:
        """Return the instrument to add to."""
        return meter.create_counter(self.name, unit=self.unit, description=self.description)

    def observe(self, meter: Meter, read: Read) -> None:
        """Export what `read` returns."""
        meter.create_observable_counter(self.name, [_observer(read, self.labels)], self.unit, self.description)


@dataclass(frozen=True, slots=True)
class Gauge(Metric):
    """A number as it is now."""

    def on(self, meter: Meter) -> "api._Gauge":
        """Return the instrument to set."""
        return meter.create_gauge(self.name, unit=self.unit, description=self.description)

    def observe(self, meter: Meter, read: Read) -> None:
        """Export what `read` returns; an empty mapping where nothing is known."""
        meter.create_observable_gauge(self.name, [_observer(read, self.labels)], self.unit, self.description)


@dataclass(frozen=True, slots=True)
class Histogram(Metric):
    """How measurements are distributed."""

    bounds: tuple[float, ...] = ()
    """The upper bounds of the buckets."""

    def on(self, meter: Meter) -> api.Histogram:
        """Return the instrument to record measurements with."""
        return meter.create_histogram(
            self.name, self.unit, self.description, explicit_bucket_boundaries_advisory=self.bounds or None
        )


def _observer(read: Read, labels: tuple[str, ...]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        value = read()
        if not isinstance(value, Mapping):
            return [Observation(value)]
        # a copy, made at once: the event loop may be changing what was returned
        return [Observation(number, _named(labels, key)) for key, number in list(value.items())]

    return observe


def _named(labels: tuple[str, ...], key: str | tuple[str, ...]) -> dict[str, str]:
    return dict(zip(labels, (key,) if isinstance(key, str) else key, strict=True))
