"""One background worker, as plugins contribute it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Worker:
    """Background work, done in passes under the kernel's supervision."""

    name: str
    """`<plugin>.<what>`: the name by which it is woken, logged and probed."""
    run: Callable[[], Awaitable[bool | None]]
    """One pass. True asks for another at once, since there is more to do. It may be called again after any failure."""
    interval: timedelta
    """Longest wait between two passes; a wake-up cuts it short."""
    singleton: bool = False
    """Whether only one replica runs it at a time, under a lock in Postgres."""
