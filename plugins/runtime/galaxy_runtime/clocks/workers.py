"""The worker `runtime.deadlines`: reminds players of deadlines.

What a crash leaves behind: a reminder is noted in the record with what the game's owner makes of it, in one
transaction; before its COMMIT nothing was told, after it nobody is reminded again.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from galaxy_kernel.api import Connection, Context, Worker, found_work, is_unavailable
from galaxy_runtime.clocks import queries
from galaxy_runtime.database_time import DatabaseTime
from galaxy_runtime.domain import seats_from
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.table import ObservingTable

DEADLINE_WORKER = "runtime.deadlines"
_INTERVAL = timedelta(seconds=10)
_SET = 100
"""Games in one transaction."""


class Deadlines:
    """One replica's worker."""

    def __init__(self, context: Context[RuntimeSettings], time: DatabaseTime, table: ObservingTable) -> None:
        self._context, self._time, self._table = context, time, table

    async def run(self) -> bool:
        """Remind a set of games; return whether there may be more."""
        async with self._context.database.transaction() as connection:
            due = await queries.take_reminders(connection, _SET, self._time.shift)
            for row in due:
                await self._remind(connection, row)
        found_work(due)
        return len(due) == _SET

    async def _remind(self, connection: Connection, row: Row[Any]) -> None:
        """Remind the players of a game from whom nothing has come, unless the turn runs or is due already."""
        seats = seats_from(row.seats)
        silent = [seat for seat in row.awaiting if seats[seat].played and seat not in row.sent]
        if not (row.open and silent):
            return
        try:
            async with connection.begin_nested():
                await self._table.owner.deadline_near(connection, row.game_id, row.turn, silent)
        except Exception as error:
            if is_unavailable(error):
                raise
            game = str(row.game_id)
            self._context.log.error(
                "game_owner_failed", what="deadline_near", owner=self._table.plugin, game_id=game, exc_info=error
            )


def workers(deadlines: Deadlines) -> Sequence[Worker]:
    """Return the worker."""
    return (Worker(DEADLINE_WORKER, deadlines.run, interval=_INTERVAL),)
