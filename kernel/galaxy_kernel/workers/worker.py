"""One background worker, as plugins contribute it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from galaxy_kernel.database.locks import Term

NextPass = bool | timedelta | datetime | None
"""When a worker wants its next pass.

True: at once, since there is more to do. A timedelta, or an aware datetime: then at the latest. False, None: after the
interval, which is the longest wait in any case.
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """Background work, done in passes under the kernel's supervision."""

    name: str
    """`<plugin>.<what>`: the name by which it is woken, logged and probed."""
    run: Callable[[], Awaitable[NextPass]] | Callable[[Term], Awaitable[NextPass]]
    """One pass; it returns when the next one is due, and may be called again after any failure.

    A singleton's may take one argument: its `Term`, which fences its writes.
    """
    interval: timedelta
    """Longest wait between two passes; a wake-up ends it."""
    singleton: bool = False
    """Whether only one replica runs it at a time, under a lock in Postgres."""
    longest_pass: timedelta = timedelta(minutes=5)
    """Time after which a pass counts as stuck, which fails the worker's check; the pass itself continues."""
