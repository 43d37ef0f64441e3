"""The plugin's metrics. The path of an event only adds numbers; they are passed to the meter together."""

from collections import Counter as Count

from opentelemetry.metrics import Meter

from galaxy_kernel.api import Counter, Gauge

SUBSCRIBERS = Gauge("push.subscribers", "Open subscriptions.")
READ = Counter("push.read", "Events read from the table for subscribers here.")
SENT = Counter("push.sent", "Events received by subscribers, counted for each of them.")
FRAMES = Counter("push.frames", "Frames received by subscribers.")
CUT_OFF = Counter("push.cut_off", "Subscribers cut off, by reason.", ("reason",))
REPLAYS = Counter("push.replays", "Replays for clients, by outcome.", ("outcome",))


class Metrics:
    """The numbers of one process: the gauge `push.subscribers`, and what is sent and cut off."""

    def __init__(self, meter: Meter) -> None:
        self.subscribers = 0
        self.sent = self.frames = 0
        """Events and frames that subscribers received, since the last report."""
        self.cut_off: Count[str] = Count()
        """Subscribers cut off since then, by reason: `blocked`, `lagging` or `trimmed`."""
        self.replays: Count[str] = Count()
        """Replays since then, by outcome: `answered`, `resync`, `refused` or `unavailable`."""
        self._subscribers, self._read, self._sent = SUBSCRIBERS.on(meter), READ.on(meter), SENT.on(meter)
        self._frames, self._cut_off, self._replays = FRAMES.on(meter), CUT_OFF.on(meter), REPLAYS.on(meter)

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
