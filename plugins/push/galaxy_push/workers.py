"""The plugin's background work: every replica reads the stream for its subscribers, one of them trims it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from structlog.typing import FilteringBoundLogger

from galaxy_kernel.api import Clock, Database, Health, Worker
from galaxy_push import queries
from galaxy_push.domain import Cursor
from galaxy_push.hub import Hub
from galaxy_push.metrics import Metrics

READ = "push.read"
"""The worker that a publisher wakes."""
READ_INTERVAL = timedelta(seconds=1)
"""Longest wait between two reads; events published anywhere shorten it."""
TRIM_INTERVAL = timedelta(minutes=1)
PAGE = 512
"""Events read at once."""
LATE = 5.0
"""Seconds without a read after which the probe reports it."""


class Reader:
    """Numbers events that have none and adds new ones to the hub, once for all subscribers of this process."""

    def __init__(self, database: Database, hub: Hub, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._database, self._hub, self._clock, self._metrics, self._log = database, hub, clock, metrics, log
        self._seen = queries.Seen()
        self._looked_at: float | None = None

    async def run(self) -> bool:
        """Make one pass; return whether there is more to do at once."""
        if self._hub.head is None:
            await self._open()
        after = Cursor(self._hub.generation, self._hub.head or 0)
        async with self._database.reading() as connection:
            page = await queries.read(connection, after.number, PAGE)
        self._looked_at = self._clock.monotonic()
        if not page.standing.has_all_after(after):
            await self._open()
            return True
        self._seen = replace(self._seen, end=page.standing.end)
        self._hub.add(page.events)
        self._metrics.hand_over(read=len(page.events))
        # waiting events get their numbers here, or have got them from another replica by now
        more = page.waiting and await self._number() != page.standing.end
        return more or len(page.events) == PAGE

    async def health(self) -> Health:
        """Report when the stream was not read for a while: subscribers here receive nothing meanwhile."""
        if self._looked_at is None:
            return Health("degraded", "events were not read yet")
        since = self._clock.monotonic() - self._looked_at
        if since <= LATE:
            return Health()
        return Health("degraded", f"events were last read {since:.0f} s ago: see worker_failed in the logs")

    async def _open(self) -> None:
        """Begin at the end of the stream, in the generation that it has, or gets here."""
        async with self._database.transaction() as connection:
            followed = await queries.follow(connection, self._seen)
        self._note(followed)
        self._hub.open(followed.standing.end)

    async def _number(self) -> Cursor:
        async with self._database.transaction() as connection:
            followed = await queries.number(connection, self._seen)
        self._note(followed)
        return followed.standing.end

    def _note(self, followed: queries.Followed) -> None:
        self._seen = followed.seen
        if followed.renewed:
            self._log.warning("push_generation_renewed", cursor=str(followed.standing.end))


def workers(database: Database, reader: Reader, retention: timedelta) -> Sequence[Worker]:
    """Return the workers."""

    async def trim() -> bool:
        async with database.transaction() as connection:
            return await queries.trim(connection, retention) == queries.TRIMMED_AT_ONCE

    return (
        Worker(READ, reader.run, interval=READ_INTERVAL),
        Worker("push.trim", trim, interval=TRIM_INTERVAL, singleton=True),
    )
