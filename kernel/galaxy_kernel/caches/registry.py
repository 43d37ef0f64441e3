"""Full-table caches: every row of a table in memory, in step with the database on every replica (SPEC K-5).

**Write paths: what happens if the process dies between any two lines.** A write is: (1) the plugin's statement changes
the row; (2) `put` or `drop` adds the change to the feed, in the same transaction; (3) COMMIT; (4) memory changes here;
(5) the other replicas are woken.

- Before (3): the transaction never happened. No replica has seen it.
- In (3), the outcome unknown to us: (4) and (5) do not happen. If it was committed, it is in the feed, and every
  replica, including this one if it lives, reads it within `POLL_INTERVAL`.
- After (3), before (4) or (5): the same. Memory here is gone with the process; the others poll by themselves.

A statement without (2) is not seen until the next load: nothing but `put` and `drop` keeps memory in step.

**No step back.** A change counts only if its id is newer than the newest its key has seen, so it does not matter that
the writer applies its own change before the feed brings an older one of another replica, or the same one again. A load
swaps in what one repeatable-read snapshot saw, with the ids of that snapshot, and then applies once more what was
applied while it ran, where that is newer. Changes applied before it began are in its snapshot, unless a fail-over has
lost them; then memory must follow the database, even backwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import msgspec
from sqlalchemy import ARRAY, Text, bindparam, text

from galaxy_chassis import gc_tuning
from galaxy_chassis.backoff import Backoff
from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.clock import Clock
from galaxy_chassis.errors import place
from galaxy_chassis.health import Health, Probe
from galaxy_chassis.logs import get_logger
from galaxy_chassis.request_context import request_context
from galaxy_kernel.caches.cache import Cache, CacheNotLoadedError
from galaxy_kernel.caches.feed import RETENTION, Feed, Position, PositionLostError, position
from galaxy_kernel.database import Connection, Database, is_unavailable
from galaxy_kernel.errors import PhaseError, PluginError
from galaxy_kernel.wakeups import Wakeups

__all__ = ["Cache", "CacheNotLoadedError", "Caches", "CachesState"]

FEED = "feed"
"""The wake-up name for new changes in the feed."""
POLL_INTERVAL = 0.5
"""Seconds between two reads of the feed without a wake-up: a lost notification costs no more."""
POLL_TIMEOUT = 5.0
"""Seconds until a read of the feed counts as failed."""
LAG_LIMIT = 5.0
"""Seconds since memory was last in step after which it is too old to serve: not ready."""
RELOAD_PAUSE = 0.5
"""Seconds between two loads, however often listening is interrupted."""
_BACKOFF = Backoff(0.05, 1.0, jitter=0.0)
"""Between failed attempts to read."""

_REPEATABLE = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_VERSIONS = text(
    "SELECT topic, key, max(id) FROM feed_changes WHERE topic = ANY(:topics) GROUP BY topic, key"
).bindparams(bindparam("topics", type_=ARRAY(Text)))

_log = get_logger("galaxy_kernel.caches.registry", plugin="kernel")


@dataclass(frozen=True, slots=True)
class CachesState:
    """The state of the caches of one process."""

    warm: bool
    """Whether every cache has been loaded."""
    since: datetime | None
    """When the last load ended; None before the first."""
    lag: float | None
    """Seconds since memory was known to be in step with the database; None before the first load."""
    loads: int
    """Loads so far: each beyond the first followed a lost connection or position."""
    error: str
    """The type of the last error, while following the feed fails; otherwise empty."""


class Caches:
    """The caches of one process: loads them, and follows the feed."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        wakeups: Wakeups,
        clock: Clock,
        *,
        on_time: Callable[[float, float], None] | None = None,
    ) -> None:
        """Do no I/O: `load` and `run` do.

        `on_time` is called with the server's time after each look at the feed: see `DatabaseClock.observe`.
        """
        self._on_time = on_time
        self._database, self._feed, self._wakeups, self._clock = database, feed, wakeups, clock
        self._caches: dict[str, tuple[str, Cache[Any, Any]]] = {}
        self._position: Position | None = None
        self._loading = asyncio.Lock()
        self._load_due = asyncio.Event()
        self._loads = 0
        self._loaded_at: datetime | None = None
        self._in_step_at = float("-inf")
        self._versions_forgotten_at = clock.monotonic()
        self._error = self._culprit = ""
        wakeups.on_reconnect(self.reload)

    def register(self, plugin: str, caches: Sequence[Cache[Any, Any]]) -> None:
        """Register a plugin's caches, before the load. Raise PluginError for a name that is taken."""
        for cache in caches:
            if cache.name in self._caches:
                owner, _ = self._caches[cache.name]
                raise PluginError(
                    f"plugins {owner!r} and {plugin!r} both have a cache {cache.name!r}: "
                    "rename one of them, or add its plugin to BACKEND_PLUGINS_DISABLED"
                )
            self._caches[cache.name] = plugin, cache
            cache.bind(self._tell_others)

    @property
    def state(self) -> CachesState:
        """Their current state."""
        lag = None if self._position is None else self._clock.monotonic() - self._in_step_at
        return CachesState(self._position is not None, self._loaded_at, lag, self._loads, self._error)

    def sizes(self) -> dict[str, int]:
        """Return the number of rows of each cache that is loaded; safe from another thread."""
        return {name: len(cache) for name, (_, cache) in self._caches.items() if cache.loaded}

    def probes(self) -> list[tuple[str, Probe]]:
        """Return a readiness check for each cache, with its plugin, and one for the feed."""
        checks = [
            (plugin, Probe(f"cache:{name}", _warm(cache), gates="ready"))
            for name, (plugin, cache) in self._caches.items()
        ]
        return [*checks, ("kernel", Probe("feed", self._following, gates="ready"))]

    async def load(self) -> None:
        """Load every cache, all in one snapshot; until that is done, or after an error, memory is not changed."""
        async with self._loading:
            started = self._clock.monotonic()
            caches = [cache for _, cache in self._caches.values()]
            for cache in caches:
                cache.begin_load()
            with gc_tuning.paused():
                try:
                    here, versions, rows = await self._read(caches)
                except BaseException:
                    for cache in caches:
                        cache.abandon_load()
                    raise
                for cache, read in zip(caches, rows, strict=True):
                    cache.finish_load(read, versions[cache.name])
            self._position, self._loaded_at = here, self._clock.now()
            self._in_step_at = max(self._in_step_at, started)
            self._versions_forgotten_at = self._clock.monotonic()
            self._loads += 1

    def reload(self) -> None:
        """Make `run` load everything again, soon. Meanwhile memory is used, and follows the feed if it can."""
        self._load_due.set()

    async def run(self) -> None:
        """Keep memory in step with the database, until cancelled; no fault of the database ends it."""
        if self._position is None:
            self.reload()
        async with asyncio.TaskGroup() as tasks:  # apart, so that a long load delays no revocation
            tasks.create_task(self._follow())
            tasks.create_task(self._load_when_due())

    async def poll(self) -> None:
        """Read the feed once, and apply new changes. Raise PositionLostError, or the driver's error."""
        since = self._position
        if since is None:
            return
        started = self._clock.monotonic()
        reading = await self._feed.read(since)
        if self._on_time is not None:
            self._on_time(reading.position.at, started)
        for change in reading.changes:
            plugin, cache = self._caches.get(change.topic, ("", None))
            if cache is None:  # of a plugin that is not installed here
                continue
            try:
                cache.receive(change)
            except (msgspec.ValidationError, ValueError) as error:
                self._unreadable(plugin, change.topic, error)
            except Exception as error:  # of the plugin's own code: its key or its index
                raise PhaseError(plugin, f"a change of the cache {change.topic!r}", error) from error
        if self._position is since:  # otherwise a load has set another position meanwhile
            self._position, self._in_step_at = reading.position, started
        self._forget_old_versions()

    async def _read(
        self, caches: Sequence[Cache[Any, Any]]
    ) -> tuple[Position, dict[str, dict[str, int]], list[dict[Any, Any]]]:
        async with self._database.transaction() as connection:
            await connection.execute(_REPEATABLE)
            here = await position(connection)
            versions = await self._versions(connection)
            return here, versions, [await self._read_one(cache, connection) for cache in caches]

    async def _read_one(self, cache: Cache[Any, Any], connection: Connection) -> dict[Any, Any]:
        """Read one cache. Raise PhaseError, which names its plugin; its cause is the error."""
        plugin, _ = self._caches[cache.name]
        try:
            with request_context(plugin):
                return await cache.read(connection)
        except Exception as error:
            raise PhaseError(plugin, f"loading the cache {cache.name!r}", error) from error

    async def _versions(self, connection: Connection) -> dict[str, dict[str, int]]:
        versions: dict[str, dict[str, int]] = {name: {} for name in self._caches}
        for topic, key, newest in await connection.execute(_VERSIONS, {"topics": list(self._caches)}):
            versions[topic][key] = newest
        return versions

    async def _follow(self) -> NoReturn:
        woken = self._wakeups.event(FEED)
        failures = 0
        while True:
            await woken.wait(POLL_INTERVAL)
            woken.clear()
            if await self._tried(self.poll, POLL_TIMEOUT):
                failures = 0
            else:
                failures += 1
                await asyncio.sleep(_BACKOFF.bound(failures))

    async def _load_when_due(self) -> NoReturn:
        failures = 0
        while True:
            await self._load_due.wait()
            self._load_due.clear()
            if await self._tried(self.load, None):
                failures = 0
                await asyncio.sleep(RELOAD_PAUSE)
            else:
                self._load_due.set()
                failures += 1
                await asyncio.sleep(_BACKOFF.bound(failures))

    async def _tried(self, attempt: Callable[[], Awaitable[None]], timeout: float | None) -> bool:
        """Make an attempt; return whether it succeeded."""
        try:
            async with asyncio.timeout(timeout):
                with own_cancellation_only():  # else the task group would drop this task, and memory stand still
                    await attempt()
        except PositionLostError as lost:
            _log.info("feed_position_lost", reason=str(lost))
            if not self._loading.locked():
                self.reload()
        except Exception as error:
            self._note(error)
            return False
        if self._error:
            _log.info("feed_read_recovered")
            self._error = self._culprit = ""
        return True

    def _note(self, error: Exception) -> None:
        """Keep an error for the check, and log the first of several; one of a plugin's cache under its name."""
        plugin = "kernel"
        cause, self._culprit = error.error if isinstance(error, PhaseError) else error, ""
        name = type(cause).__name__
        if isinstance(error, PhaseError) and not is_unavailable(error):  # no message, which may quote a row
            plugin = error.plugin
            self._culprit = f"plugin {plugin!r} fails in {error.phase} with {name} ({place(cause)})"
        if not self._error:
            _log.warning("feed_read_failed", plugin=plugin, error=name, reason=self._culprit)
        self._error = name

    def _unreadable(self, plugin: str, topic: str, error: Exception) -> None:
        # most likely written by another release of the backend; the table's columns can still be read
        _log.warning("feed_change_rejected", plugin=plugin, cache=topic, error=type(error).__name__)
        self.reload()

    def _forget_old_versions(self) -> None:
        now = self._clock.monotonic()
        if now - self._versions_forgotten_at >= RETENTION.total_seconds():
            self._versions_forgotten_at = now
            for _, cache in self._caches.values():
                cache.forget_old_versions()

    def _tell_others(self) -> None:
        self._wakeups.wake(FEED, here=False)  # here memory has changed already

    async def _following(self) -> Health:
        lag = self.state.lag
        if lag is None:
            return Health("failed", "the caches are not loaded yet")
        if lag > LAG_LIMIT:
            cause = self._culprit or "is Postgres reachable?"
            return Health("failed", f"memory was last in step with the database {lag:.0f} s ago: {cause}")
        return Health()


def _warm(cache: Cache[Any, Any]) -> Callable[[], Awaitable[Health]]:
    async def check() -> Health:
        return Health() if cache.loaded else Health("failed", "not loaded yet")

    return check
