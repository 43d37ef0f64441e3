"""The last events, by number: what clients that return after a short time resume from."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter

from galaxy_gateway.streams.cursor import Cursor
from galaxy_gateway.streams.messages import Message

_number = attrgetter("number")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a ring keeps."""

    seconds: float
    events: int
    bytes: int


class Ring:
    """Every event after `floor` and up to `head`, by target, so that resuming costs only the client's own events."""

    def __init__(self, head: Cursor, bounds: Bounds, monotonic: Callable[[], float]) -> None:
        """Begin after `head`, with nothing."""
        self._bounds, self._monotonic = bounds, monotonic
        self.head = head
        """The cursor of the last event, kept or not."""
        self.floor = head.number
        """The number of the last event that is not kept."""
        self.size = 0
        """Bytes kept, about."""
        self._events: deque[tuple[float, Message]] = deque()
        self._by_target: dict[str, deque[Message]] = {}

    def __len__(self) -> int:
        return len(self._events)

    def add(self, message: Message) -> None:
        """Add the next event."""
        self.head = Cursor(self.head.generation, message.number)
        self._events.append((self._monotonic(), message))
        self._by_target.setdefault(message.target, deque()).append(message)
        self.size += message.size
        self.trim()

    def trim(self) -> None:
        """Remove what is too old or too much."""
        oldest = self._monotonic() - self._bounds.seconds
        events, bounds = self._events, self._bounds
        while events and (events[0][0] < oldest or len(events) > bounds.events or self.size > bounds.bytes):
            self._remove(events.popleft()[1])

    def reaches(self, number: int) -> bool:
        """Return whether every event after this number is kept, or still to come."""
        return number >= self.floor

    def after(self, number: int, *targets: str) -> Iterator[Message]:
        """Return the targets' events after this number, in order, as they are now."""
        return merge(*(_after(self._by_target.get(target, ()), number) for target in targets), key=_number)

    def revoked(self, session_id: str) -> bool:
        """Return whether this session is known to have ended."""
        return any(message.ends_session for message in self._by_target.get(session_id, ()))

    def _remove(self, message: Message) -> None:
        self.floor = message.number
        self.size -= message.size
        kept = self._by_target[message.target]
        kept.popleft()
        if not kept:
            del self._by_target[message.target]


def _after(messages: Sequence[Message], number: int) -> Sequence[Message]:
    kept = tuple(messages)
    return kept[bisect_right(kept, number, key=_number) :]
