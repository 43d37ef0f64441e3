"""Replicas that run turns in processes of their own, to be killed.

`python -m bench.endurance.turn_replica DSN ENGINE LEASE` starts one for each line of its input, as a copy of itself
that has imported everything already, and prints its process id once it is ready. LEASE is in seconds.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import uvloop

from bench import games
from galaxy_chassis.logs import configure_logging
from galaxy_runtime.turns import queries


async def run(dsn: str, engine: str) -> None:
    """Run until killed."""
    configure_logging("critical", stream=sys.stderr)
    async with games.table(dsn, engine, turn_attempts="20"):
        print(os.getpid(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    dsn, engine, lease = sys.argv[1:]
    queries.LEASE = timedelta(seconds=float(lease))  # type: ignore[attr-defined]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            uvloop.run(run(dsn, engine))
