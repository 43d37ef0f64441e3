"""Facts: occurrences in one plugin, delivered to each listening plugin at least once, in transactions of their own.

**Write paths: what happens if the process dies between any two lines.** Recording is (1) the statements that made it
true and (2) one row a listener, in one transaction: both are there or neither. Delivery is one transaction too: (3) the
row is taken by deleting it, which locks it, (4) the listener writes, (5) COMMIT.

- Before (5), whether by a crash, an error or a lost connection: the row is back and the listener's writes are not. Any
  replica delivers it again.
- In (5), the outcome unknown: either both are there or neither, and it does not matter which.
- After (5): done. The row is gone, with any personal data in it.

So a listener's effects *in the database* happen exactly once. Its other effects may happen again.

After a failure a fact is delivered again with growing delays; the number of failures and the reason are written in a
transaction of their own, after the failed one has ended. A crash before that loses only this record. Each listening
plugin has a worker of its own, so that one that hangs does not delay others. The order of one listener's facts is
usual, but not guaranteed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Text, Uuid, bindparam, text
from uuid_utils.compat import uuid7

from galaxy_chassis.backoff import Backoff
from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.clock import Clock
from galaxy_chassis.errors import GalaxyError
from galaxy_chassis.health import Health, Probe
from galaxy_chassis.logs import get_logger
from galaxy_chassis.request_context import request_context, request_id
from galaxy_contracts.fact import Fact
from galaxy_kernel.database import Connection, Database
from galaxy_kernel.errors import PluginError
from galaxy_kernel.passes import found_work
from galaxy_kernel.wakeups import Wakeups
from galaxy_kernel.workers.worker import Worker

F = TypeVar("F", bound=Fact)

FactHandler = Callable[[Any, Any], Awaitable[None]]
"""`async (connection, fact)`: runs in a transaction that also marks the fact as handled by this listener."""

Subscriptions = dict[type[Fact], FactHandler]
"""The facts that a plugin listens to."""

POLL_INTERVAL = timedelta(seconds=2)
"""Time between two checks for facts without a wake-up."""
HANDLER_TIMEOUT = 30.0
"""Seconds a listener may take for one fact before it counts as failed."""
BACKOFF = Backoff(1.0, 600.0)
"""Until a fact is told again after a failure."""
BATCH = 50
"""Facts delivered in one pass."""
_TROUBLED = 5
"""Failed attempts after which `/readyz` mentions a listener."""
_LOOK_AGAIN = 30.0
"""Seconds for which a result of the probe is reused."""

_RECORD = text("""
    INSERT INTO facts (id, fact, listener, payload, request_id)
    SELECT recorded.id, recorded.fact, recorded.listener, recorded.payload, :request_id
    FROM unnest(:ids, :names, :listeners, :payloads) AS recorded (id, fact, listener, payload)
""").bindparams(
    bindparam("request_id", type_=Text), bindparam("ids", type_=ARRAY(Uuid)), bindparam("names", type_=ARRAY(Text)),
    bindparam("listeners", type_=ARRAY(Text)), bindparam("payloads", type_=ARRAY(Text)),
)  # fmt: skip

_TAKE = text("""
    DELETE FROM facts
    WHERE id = (
        SELECT id FROM facts
        WHERE listener = :listener AND fact = ANY(:names) AND next_attempt_at <= now()
        ORDER BY next_attempt_at, id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id, fact, payload, request_id, attempts
""").bindparams(bindparam("listener", type_=Text), bindparam("names", type_=ARRAY(Text)))

_UNDELIVERED = text("SELECT payload FROM facts WHERE listener = :listener AND fact = :fact ORDER BY id").bindparams(
    bindparam("listener", type_=Text), bindparam("fact", type_=Text)
)

# another replica may process it by now, and then records the next failure itself
_FAILED = text("""
    UPDATE facts
    SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => :delay), last_error = :error
    WHERE id = (SELECT id FROM facts WHERE id = :id AND attempts = :attempts FOR UPDATE SKIP LOCKED)
""").bindparams(bindparam("id", type_=Uuid), bindparam("error", type_=Text))

_WAITING = text("SELECT listener, fact, count(*), max(attempts) FROM facts GROUP BY listener, fact ORDER BY 1, 2")

_BACKLOG = text("""
    SELECT listener, count(*), CAST(extract(epoch FROM statement_timestamp() - min(recorded_at)) AS double precision)
    FROM facts GROUP BY listener
""")

_log = get_logger("galaxy_kernel.facts", plugin="kernel")


class FactsError(GalaxyError):
    """Facts were used before the plugins' subscriptions were known."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A claimed fact."""

    id: UUID
    fact: str
    payload: str
    request_id: str
    attempts: int


class Facts:
    """The outbox of facts of one process."""

    def __init__(self, database: Database, wakeups: Wakeups, clock: Clock, random: random.Random) -> None:
        """Do no I/O. Subscriptions come by `subscribe`, once for each plugin, and end with `seal`."""
        self._database, self._wakeups, self._clock, self._random = database, wakeups, clock, random
        self._types: dict[str, type[Fact]] = {}
        self._handlers: dict[str, dict[str, FactHandler]] = {}
        self._listeners: dict[str, list[str]] = {}
        self._assembled = False
        self._health, self._looked_at = Health(), float("-inf")

    def subscribe(self, plugin: str, subscriptions: Subscriptions) -> None:
        """Register a plugin's subscriptions. Raise PluginError when two types of fact have one name."""
        for kind, handler in subscriptions.items():
            if self._types.setdefault(kind.fact, kind) is not kind:
                raise PluginError(
                    f"plugin {plugin!r} listens to {kind.__qualname__} as {kind.fact!r}, which is the name of "
                    f"{self._types[kind.fact].__qualname__} too: rename one of them"
                )
            self._handlers.setdefault(plugin, {})[kind.fact] = handler
            self._listeners.setdefault(kind.fact, []).append(plugin)

    def seal(self) -> None:
        """Note that every plugin's subscriptions are known: facts can be recorded from now on."""
        self._assembled = True

    async def record(self, connection: Connection, *facts: Fact) -> None:
        """Write facts with the connection's transaction, for every plugin that listens; nothing when none does.

        Raise FactsError before the subscriptions are known.
        """
        if not self._assembled:
            raise FactsError(
                f"fact {facts[0].fact!r} was recorded before the listeners were known: "
                "record facts only once every plugin's lifespan is entered"
            )
        rows = [
            (uuid7(), fact.fact, listener, msgspec.json.encode(fact).decode())
            for fact in facts
            for listener in self._listeners.get(fact.fact, ())
        ]
        if not rows:
            return
        columns = zip(("ids", "names", "listeners", "payloads"), zip(*rows, strict=True), strict=True)
        parameters = {name: list(values) for name, values in columns}
        await connection.execute(_RECORD, parameters | {"request_id": request_id()})
        for listener in sorted({row[2] for row in rows}):
            self._wakeups.after_commit(connection, _worker(listener))

    async def undelivered(self, connection: Connection, plugin: str, kind: type[F]) -> list[F]:
        """Return the facts of a type that a plugin has not handled yet, or is handling in a transaction just now."""
        rows = await connection.execute(_UNDELIVERED, {"listener": plugin, "fact": kind.fact})
        return [msgspec.json.decode(payload, type=kind) for payload in rows.scalars()]

    async def waiting(self, connection: Connection) -> dict[str, tuple[int, float]]:
        """Return how many facts wait for each listener, and the age of the oldest in seconds.

        A listener of this process for which nothing waits has zeros.
        """
        found = {row[0]: (row[1], row[2]) for row in await connection.execute(_BACKLOG)}
        return dict.fromkeys(self._handlers, (0, 0.0)) | found

    def workers(self) -> list[tuple[str, Worker]]:
        """Return a worker for each plugin that listens, with its name."""
        return [
            (plugin, Worker(_worker(plugin), partial(self.dispatch, plugin), interval=POLL_INTERVAL))
            for plugin in sorted(self._handlers)
        ]

    async def dispatch(self, plugin: str | None = None) -> bool:
        """Deliver due facts to a plugin, or to every listener, up to `BATCH` each; return whether there may be more.

        A listener's failure is not raised; the database's is.
        """
        plugins = list(self._handlers) if plugin is None else [plugin]
        more = await asyncio.gather(*(self._tell(each) for each in plugins), return_exceptions=True)
        for outcome in more:
            if isinstance(outcome, BaseException):
                raise outcome
        return any(more)

    def probe(self) -> Probe:
        """Return the check that reports facts without a listener here, and listeners that keep failing."""
        return Probe("facts", self._check)

    async def _tell(self, plugin: str) -> bool:
        for _ in range(BATCH):
            if not await self._tell_next(plugin):
                return False
        return True

    async def _tell_next(self, plugin: str) -> bool:
        taken: _Taken | None = None
        try:
            async with self._database.transaction() as connection:
                taken = await self._take(connection, plugin)
                if taken is None:
                    return False
                found_work()
                with request_context(plugin, taken.request_id):
                    async with asyncio.timeout(HANDLER_TIMEOUT):
                        fact = msgspec.json.decode(taken.payload, type=self._types[taken.fact])
                        with own_cancellation_only():
                            await self._handlers[plugin][taken.fact](connection, fact)
        except Exception as error:
            if taken is None:
                raise
            await self._failed(plugin, taken, error)
        return True

    async def _take(self, connection: Connection, plugin: str) -> _Taken | None:
        parameters = {"listener": plugin, "names": list(self._handlers[plugin])}
        row = (await connection.execute(_TAKE, parameters)).one_or_none()
        return None if row is None else _Taken(*row)

    async def _failed(self, plugin: str, taken: _Taken, error: Exception) -> None:
        delay = BACKOFF.delay(taken.attempts + 1, self._random)
        with request_context(plugin, taken.request_id):
            _log.error(
                "fact_failed", plugin=plugin, fact=taken.fact, fact_id=str(taken.id), attempts=taken.attempts + 1,
                retry_in_seconds=round(delay, 1), error=type(error).__name__, raised_at=_stack(error),
            )  # fmt: skip
        parameters = {"id": taken.id, "attempts": taken.attempts, "delay": delay, "error": _describe(error)}
        async with self._database.transaction() as connection:
            await connection.execute(_FAILED, parameters)

    async def _check(self) -> Health:
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_AGAIN:
            async with self._database.reading() as connection:
                waiting = (await connection.execute(_WAITING)).all()
            self._health, self._looked_at = self._judge([tuple(row) for row in waiting]), now
        return self._health

    def _judge(self, waiting: Sequence[tuple[str, str, int, int]]) -> Health:
        findings = []
        for listener, fact, count, attempts in waiting:
            if fact not in self._handlers.get(listener, ()):
                findings.append(
                    f"{count} of {fact!r} wait for {listener!r}, which is not installed or no longer listens"
                )
            elif attempts >= _TROUBLED:
                findings.append(f"{listener!r} has failed {attempts} times on {fact!r}: see fact_failed in the logs")
        return Health("degraded", "; ".join(findings)) if findings else Health()


def _worker(plugin: str) -> str:
    return f"{plugin}.facts"


def _stack(error: BaseException) -> list[str]:
    """Return where an error was raised, innermost last, without its message, which may hold an address."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[-8:]
    ]


def _describe(error: BaseException) -> str:
    return " at ".join((type(error).__name__, *_stack(error)[-1:]))
