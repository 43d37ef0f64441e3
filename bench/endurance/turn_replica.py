"""Replicas that take orders and run turns in processes of their own, to be killed.

`python -m bench.endurance.turn_replica DSN ENGINE LEASE` starts one for each line of its input, as a copy of itself
that has imported everything already, and prints its process id and its URL once it is ready. LEASE is in seconds.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import uvloop

from bench import games
from bench.endurance.claim_log import named
from galaxy_chassis.logs import configure_logging
from galaxy_runtime.turns import claiming, queries, workers

GAMES = 16
"""Whose players may send orders."""
_NEVER_ABANDONED = {"BACKEND_LOBBY_ABANDON_AFTER": "1000"}
"""On a machine that is busy with other work players miss turns: the lobby would pause their games."""


async def run(dsn: str, engine: str) -> None:
    """Run until killed."""
    configure_logging("critical", stream=sys.stderr)
    accounts = games.everybody(GAMES)
    async with games.table(
        named(dsn, os.getpid()), engine, accounts, environment=_NEVER_ABANDONED, turn_attempts="20"
    ) as playing:
        print(os.getpid(), playing.booted.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    dsn, engine, lease = sys.argv[1:]
    claiming.LEASE = queries.LEASE = workers.LEASE = timedelta(seconds=float(lease))  # type: ignore[attr-defined]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            uvloop.run(run(dsn, engine))
