"""Numbers of the live events. The path of an event only adds; they are passed to the meter together."""

from collections import Counter

from opentelemetry.metrics import Meter


class Metrics:
    """The numbers of one process: the gauge `gateway.streams`, and what was received, sent, ended and refused."""

    def __init__(self, meter: Meter) -> None:
        self.streams = 0
        self.received = self.sent = self.replays = self.resyncs = self.subscriptions = 0
        """Events from the backend, messages to clients, reads of older events, clients that were asked to fetch their
        state again, and subscriptions begun, since the last report."""
        self.opened: Counter[str] = Counter()
        """Streams opened since then, by transport: `sse` or `websocket`."""
        self.ended: Counter[str] = Counter()
        """Streams ended since then, by reason."""
        self.refused: Counter[str] = Counter()
        """Streams refused since then: `account`, `address`, `total`, `stopping`, `unavailable` or `revoked`."""
        self._streams = meter.create_gauge("gateway.streams", description="Open streams.")
        self._received = meter.create_counter("gateway.events.received", description="Events from the backend.")
        self._sent = meter.create_counter("gateway.events.sent", description="Events sent, counted for each stream.")
        self._replays = meter.create_counter("gateway.replays", description="Pages of older events read.")
        self._resyncs = meter.create_counter("gateway.resyncs", description="Streams asked to fetch their state again.")
        self._subscriptions = meter.create_counter("gateway.subscriptions", description="Subscriptions begun.")
        self._opened = meter.create_counter("gateway.streams.opened", description="Streams opened, by transport.")
        self._ended = meter.create_counter("gateway.streams.ended", description="Streams ended, by reason.")
        self._refused = meter.create_counter("gateway.streams.refused", description="Streams refused, by reason.")

    def hand_over(self) -> None:
        """Report the numbers so far to the meter."""
        self._streams.set(self.streams)
        for name, counter in (
            ("received", self._received),
            ("sent", self._sent),
            ("replays", self._replays),
            ("resyncs", self._resyncs),
            ("subscriptions", self._subscriptions),
        ):
            counter.add(getattr(self, name))
            setattr(self, name, 0)
        for label, numbers, counter in (
            ("transport", self.opened, self._opened),
            ("reason", self.ended, self._ended),
            ("reason", self.refused, self._refused),
        ):
            for value, number in numbers.items():
                counter.add(number, {label: value})
            numbers.clear()
