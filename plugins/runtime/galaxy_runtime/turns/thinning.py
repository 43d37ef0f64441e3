"""The worker `runtime.snapshots`: empties snapshots that are older than `keep_snapshots` turns.

A turn's commit empties the one that it makes too old, and no other. What is older still is there where fewer are kept
than before, also in games that have ended: it is found here, game by game in the order of ids, an hour after the last
round.

What a crash leaves behind: sets that were emptied, each in one transaction. The next round begins with the first game.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from galaxy_kernel.api import Context, Worker
from galaxy_runtime.settings import RuntimeSettings
from galaxy_runtime.turns import queries

_ROUNDS = timedelta(hours=1)
"""Between two rounds."""
_STEP = timedelta(seconds=1)
"""Between two sets of a round: nobody waits for it."""
_GAMES = 200
"""Games looked at in one transaction."""
_POSITIONS = 500
"""Snapshots emptied in one transaction."""
_FIRST = UUID(int=0)


class Thinning:
    """One replica's worker."""

    def __init__(self, context: Context[RuntimeSettings]) -> None:
        self._context, self._after = context, _FIRST

    async def run(self) -> timedelta | None:
        """Empty a set of snapshots; return when the next set is due, None at the end of a round."""
        keep = self._context.settings.keep_snapshots
        async with self._context.database.transaction() as connection:
            games, thinned, last = await queries.thin(connection, self._after, keep, _GAMES, _POSITIONS)
        if thinned:
            self._context.log.info("snapshots_thinned", snapshots=thinned)
        if thinned == _POSITIONS:
            return _STEP  # the same games: there may be more
        ended = last is None or games < _GAMES
        self._after = _FIRST if last is None or ended else last
        return None if ended else _STEP


def workers(thinning: Thinning) -> Sequence[Worker]:
    """Return the worker. It is a singleton for economy: two at once do no harm."""
    return (Worker("runtime.snapshots", thinning.run, interval=_ROUNDS, singleton=True),)
