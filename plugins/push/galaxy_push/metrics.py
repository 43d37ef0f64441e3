"""What is counted. On the way of an event only numbers are added up; the meter gets them in one go."""

from collections import Counter

from opentelemetry.metrics import Meter


class Metrics:
    """The numbers of one process: the gauge `push.subscribers`, and what is sent and cut off."""

    def __init__(self, meter: Meter) -> None:
        self.subscribers = 0
        self.sent = self.frames = 0
        """Events and frames that subscribers took, since the last hand-over."""
        self.cut_off: Counter[str] = Counter()
        """Subscribers cut off since then, by reason: `blocked`, `lagging` or `trimmed`."""
        self._subscribers = meter.create_gauge("push.subscribers", description="Open subscriptions.")
        self._read = meter.create_counter("push.read", description="Events read from the table for subscribers here.")
        self._sent = meter.create_counter(
            "push.sent", description="Events taken by subscribers, each of them counting."
        )
        self._frames = meter.create_counter("push.frames", description="Frames taken by subscribers.")
        self._cut_off = meter.create_counter("push.cut_off", description="Subscribers cut off, by reason.")

    def hand_over(self, *, read: int) -> None:
        """Return the numbers so far to the meter."""
        self._subscribers.set(self.subscribers)
        self._read.add(read)
        self._sent.add(self.sent)
        self._frames.add(self.frames)
        for reason, number in self.cut_off.items():
            self._cut_off.add(number, {"reason": reason})
        self.sent = self.frames = 0
        self.cut_off.clear()
