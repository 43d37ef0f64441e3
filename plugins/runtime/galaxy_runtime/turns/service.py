"""Claims of turns: which games run now, and what is decided at their deadlines.

What a crash leaves behind: each use case is one transaction. A claim is committed before anything is computed; a
process that dies later leaves it with its lease, and the attempt counted, so that a turn that kills its process reaches
its limit too. Who is absent stands in the record from the first claim on. A postponement, a halt or a skipped tick is
committed with what the game's owner makes of it.

One statement locks what is due and claims it, since nearly all of it runs: locked first, and claimed once that was
decided, a hundred games took half as long again. Where something else is decided, the claim is undone before, and
nobody has seen it. No change of memory goes with a claim, unless memory does not know the game's engine: that orders
are closed follows from the time (`Record.closed`).

A game by a time zone that this process does not know is not claimed, and looked at again later, by whichever replica.
So is one whose record this process cannot read, as a newer release may write it.

An owner that raises rolls back its game's part alone, which is looked at again later.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from galaxy_contracts.runtime import Failure
from galaxy_contracts.turns import Postpone
from galaxy_kernel.api import Cache, Connection, Context, is_unavailable
from galaxy_runtime.caches import Record
from galaxy_runtime.clocks.domain import MissingZones
from galaxy_runtime.clocks.queries import postpone
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.domain import seats_json
from galaxy_runtime.notices import Notices
from galaxy_runtime.policies import Policies
from galaxy_runtime.records.domain import moved
from galaxy_runtime.records.service import RecordService
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable
from galaxy_runtime.turns import claiming, queries
from galaxy_runtime.turns.claiming import DueGames, UnreadableRecord
from galaxy_runtime.turns.domain import (
    POLICY_FAILED,
    POLICY_HALTED,
    RETRY_DELAYS,
    Claim,
    Claimed,
    Due,
    DueRecord,
    Skip,
    Stopped,
    charge,
    decide,
)

_Otherwise = Skip | Postpone | Stopped | None
"""What becomes of a game whose turn does not run now; None where it is looked at again later."""


class ClaimedTurns(msgspec.Struct, frozen=True):
    """What a look for due turns found."""

    claims: Sequence[Claim]
    more: bool
    """Whether there may be more that are due."""
    now: datetime
    """The database's time of the look."""


class TurnService:
    """Claims due turns, and ends claims that come to no commit."""

    def __init__(
        self,
        context: Context[RuntimeSettings],
        cache: Cache[UUID, Record],
        time: DatabaseTime,
        table: ObservingTable,
        policies: Policies,
        records: RecordService,
        notices: Notices,
        missing_zones: MissingZones,
    ) -> None:
        self._context, self._cache, self._time = context, cache, time
        self._table, self._policies, self._records, self._notices = table, policies, records, notices
        self._missing_zones = missing_zones

    async def claim(self, limit: int, latest: datetime) -> ClaimedTurns:
        """Claim turns that are due, of at most `limit` games; none if the clock shows more than `latest`."""
        spread, shift = self._context.settings.spread, self._time.shift
        async with self._context.database.transaction() as connection:
            games = await claiming.claim(connection, latest, limit, spread, shift)
            claims = await self._decide(connection, games)
        return ClaimedTurns(claims, more=games.count == limit, now=games.now)

    async def seconds_until_due(self, since: datetime) -> float | None:
        """Return how long after `since` the next turn may be claimed; None when no game plays."""
        async with self._context.database.reading() as connection:
            return await claiming.seconds_until_due(connection, since, self._context.settings.spread, self._time.shift)

    async def renew(self, keys: Sequence[tuple[UUID, int]]) -> Collection[tuple[UUID, int]]:
        """Renew the leases of claims, and return the keys of those that are held."""
        async with self._context.database.transaction() as connection:
            return await queries.renew(connection, keys, self._time.shift)

    async def release(self, claims: Sequence[Claim]) -> None:
        """Return claims of turns that were not begun or not finished, uncounted."""
        if not claims:
            return
        async with self._context.database.transaction() as connection:
            await queries.release(connection, [claim.key for claim in claims], self._time.shift)

    async def give_back(self, claim: Claim, delay: timedelta, failure: str | None = None) -> None:
        """Let a turn be tried again after `delay`; without a failure the attempt does not count."""
        async with self._context.database.transaction() as connection:
            await queries.give_back(connection, claim, delay, failure, self._time.shift)

    async def quarantine(self, claim: Claim, failure: Failure) -> None:
        """Stop the clock of a game whose turn cannot be adjudicated, if the claim is held; tell owner and operators.

        Where the game's owner raises, that is tried again later.
        """
        try:
            async with self._context.database.transaction() as connection:
                held = await queries.lock_held(connection, [claim.key], self._time.shift)
                if (record := held.get(claim.key)) is not None:
                    await self._stop(connection, claim.game_id, failure, claim.image, claim.turn, record.now)
        except Exception as error:
            if is_unavailable(error):
                raise
            self._refused("halted", claim.game_id, error)
            await self.give_back(claim, RETRY_DELAYS[-1], failure.code)

    async def _decide(self, connection: Connection, games: DueGames) -> list[Claim]:
        """Return the claims of turns that run; do with the other games what was decided."""
        now, attempts = games.now, self._context.settings.turn_attempts
        claims: list[Claim] = []
        absent: dict[UUID, tuple[int, ...]] = {}
        unknown: list[UUID] = []
        others: list[tuple[DueRecord, _Otherwise]] = []
        for due in games.due:
            missing = self._missing_zones.lacks(due.schedule, due.game_id)
            outcome = None if missing else self._decided(due, now, attempts)
            if not isinstance(outcome, Claimed):
                others.append((due, outcome))
                continue
            claims.append(Claim.of(due, now))
            if not self._knows_engine(due):
                unknown.append(due.game_id)
            if outcome.absent != due.absent:
                absent[due.game_id] = outcome.absent
        if absent:
            await claiming.set_absent(connection, absent)
        if unknown:  # the turn opens its engine by memory, which the feed may not have told yet
            await self._cache.put_many(connection, await claiming.show(connection, unknown))
        if others or games.unreadable:
            await self._settle_others(connection, games, others)
        return claims

    async def _settle_others(
        self, connection: Connection, games: DueGames, others: Sequence[tuple[DueRecord, _Otherwise]]
    ) -> None:
        """Undo the claims of games whose turns do not run now, and do what was decided."""
        await claiming.unclaim(connection, [*(due for due, _ in others), *games.unreadable])
        await self._look_later(connection, games.unreadable, [due for due, outcome in others if outcome is None])
        ticks = {due.game_id: outcome.tick.at for due, outcome in others if isinstance(outcome, Skip)}
        if ticks:
            await self._cache.put_many(connection, await claiming.skip(connection, ticks))
        for due, outcome in others:
            if isinstance(outcome, Postpone | Stopped):
                await self._apart(connection, due, outcome, games.now)

    async def _look_later(
        self, connection: Connection, unreadable: Sequence[UnreadableRecord], zoneless: Sequence[DueRecord]
    ) -> None:
        """Pass over records that this process cannot read, as a newer release's may be, and zones it does not know."""
        for each in unreadable:
            self._context.log.error("turn_record_unreadable", game_id=str(each.game_id), error=each.error)
        if zoneless:
            games = sorted(str(due.game_id) for due in zoneless)
            self._context.log.error("turns_without_time_zone", games=games)
        passed_over = [*(each.game_id for each in unreadable), *(due.game_id for due in zoneless)]
        if passed_over:
            await self._look_again(connection, passed_over)

    async def _look_again(self, connection: Connection, games: Sequence[UUID]) -> None:
        records = await claiming.look_again(connection, games, RETRY_DELAYS[-1], self._time.shift)
        await self._cache.put_many(connection, records)

    def _knows_engine(self, due: DueRecord) -> bool:
        known = self._cache.get(due.game_id)
        wanted = (due.wanted, due.generation, due.address)
        return known is not None and (known.wanted, known.generation, known.address) == wanted

    def _decided(self, record: DueRecord, now: datetime, attempts: int) -> Due:
        """Return the outcome for one game; a game for which that fails stops, and holds up no other."""
        try:
            return decide(record, self._policies.find(record.policy), now, attempts)
        except Exception as error:
            self._context.log.error("turn_undecidable", game_id=str(record.game_id), exc_info=error)
            return Stopped(Failure(POLICY_FAILED, f"the deadline could not be decided: {type(error).__name__}"))

    async def _apart(
        self, connection: Connection, record: DueRecord, outcome: Postpone | Stopped, now: datetime
    ) -> None:
        """Postpone or stop a game, with what its owner makes of it; where that raises, look at the game again later."""
        try:
            async with connection.begin_nested():
                if isinstance(outcome, Postpone):
                    await self._postpone(connection, record, outcome, now)
                else:
                    await self._stop(connection, record.game_id, outcome.failure, record.image, record.turn, now)
        except Exception as error:
            if is_unavailable(error):
                raise
            self._refused(type(outcome).__name__.lower(), record.game_id, error)
            await self._look_again(connection, [record.game_id])

    async def _postpone(self, connection: Connection, record: DueRecord, decided: Postpone, now: datetime) -> None:
        seats = seats_json(charge(record.seats, decided.spent))
        row = {"game_id": record.game_id, **moved(record.schedule, decided.until, now), "counts": 1, "seats": seats}
        await self._cache.put_many(connection, await postpone(connection, [row]))
        await self._table.owner.postponed(connection, record.game_id, decided.until, decided.reason)

    async def _stop(
        self, connection: Connection, game_id: UUID, failure: Failure, image: str, turn: int, now: datetime
    ) -> None:
        """Quarantine a locked game. Operators hear of failures, not of what a policy decides."""
        await self._records.quarantine(connection, game_id, failure)
        if failure.code != POLICY_HALTED:
            await self._notices.tell(connection, failure, game_id=game_id, image=image, turn=turn, now=now)
        log = self._context.log
        log.warning("turn_quarantined", game_id=str(game_id), turn=turn, failure=failure.code, detail=failure.message)

    def _refused(self, what: str, game_id: UUID, error: Exception) -> None:
        self._context.log.error(
            "game_owner_failed", what=what, owner=self._table.plugin, game_id=str(game_id), exc_info=error
        )
