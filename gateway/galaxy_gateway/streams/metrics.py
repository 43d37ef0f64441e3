"""Numbers of the live events. The path of an event only adds; they are passed to the meter together."""

from collections import Counter as Count

from opentelemetry.metrics import Meter

from galaxy_chassis.telemetry.instruments import Counter, Gauge

STREAMS = Gauge("gateway.streams", "Open streams.")
RECEIVED = Counter("gateway.events.received", "Events from the backend.")
SENT = Counter("gateway.events.sent", "Events sent, counted for each stream.")
REPLAYS = Counter("gateway.replays", "Pages of older events read.")
RESYNCS = Counter("gateway.resyncs", "Streams asked to fetch their state again.")
SUBSCRIPTIONS = Counter("gateway.subscriptions", "Subscriptions begun.")
OPENED = Counter("gateway.streams.opened", "Streams opened, by transport.", ("transport",))
ENDED = Counter("gateway.streams.ended", "Streams ended, by reason.", ("reason",))
REFUSED = Counter("gateway.streams.refused", "Streams refused, by reason.", ("reason",))


class Metrics:
    """The numbers of one process: the gauge `gateway.streams`, and what was received, sent, ended and refused."""

    def __init__(self, meter: Meter) -> None:
        self.streams = 0
        self.received = self.sent = self.replays = self.resyncs = self.subscriptions = 0
        """Events from the backend, messages to clients, reads of older events, clients that were asked to fetch their
        state again, and subscriptions begun, since the last report."""
        self.opened: Count[str] = Count()
        """Streams opened since then, by transport: `sse` or `websocket`."""
        self.ended: Count[str] = Count()
        """Streams ended since then, by reason."""
        self.refused: Count[str] = Count()
        """Streams refused since then: `account`, `address`, `total`, `stopping`, `unavailable` or `revoked`."""
        self._streams, self._received, self._sent = STREAMS.on(meter), RECEIVED.on(meter), SENT.on(meter)
        self._replays, self._resyncs = REPLAYS.on(meter), RESYNCS.on(meter)
        self._subscriptions, self._opened = SUBSCRIPTIONS.on(meter), OPENED.on(meter)
        self._ended, self._refused = ENDED.on(meter), REFUSED.on(meter)

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
