"""The plugin's metrics. The path of an event only adds numbers; they are passed to the meter together."""

from collections import Counter

from opentelemetry.metrics import Meter


class Metrics:
    """The numbers of one process: the gauge `push.subscribers`, and what is sent and cut off."""

    def __init__(self, meter: Meter) -> None:
        self.subscribers = 0
        self.sent = self.frames = 0
        """Events and frames that subscribers received, since the last report."""
        self.cut_off: Counter[str] = Counter()
        """Subscribers cut off since then, by reason: `blocked`, `lagging` or `trimmed`."""
        self.replays: Counter[str] = Counter()
        """Replays since then, by outcome: `answered`, `resync`, `refused` or `unavailable`."""
        self._subscribers = meter.create_gauge("push.subscribers", description="Open subscriptions.")
        self._read = meter.create_counter("push.read", description="Events read from the table for subscribers here.")
        self._sent = meter.create_counter(
            "push.sent", description="Events received by subscribers, counted for each of them."
        )
        self._frames = meter.create_counter("push.frames", description="Frames received by subscribers.")
        self._cut_off = meter.create_counter("push.cut_off", description="Subscribers cut off, by reason.")
        self._replays = meter.create_counter("push.replays", description="Replays for clients, by outcome.")

    def hand_over(self, *, read: int) -> None:
        """Report the numbers so far to the meter."""
        self._subscribers.set(self.subscribers)
        self._read.add(read)
        self._sent.add(self.sent)
        self._frames.add(self.frames)
        for reason, number in self.cut_off.items():
            self._cut_off.add(number, {"reason": reason})
        for outcome, number in self.replays.items():
            self._replays.add(number, {"outcome": outcome})
        self.sent = self.frames = 0
        self.cut_off.clear()
        self.replays.clear()
