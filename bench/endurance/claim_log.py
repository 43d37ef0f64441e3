"""Which replica claimed which turn and when, written by the database itself in the transaction of each claim."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

_PREFIX = "replica_"
"""Of a replica's connections in `pg_stat_activity`, before its process id."""
_INSTALL = f"""
    CREATE TABLE claim_log (
        game_id uuid, lease int, replica int, claimed_at timestamptz, due timestamptz, again boolean,
        PRIMARY KEY (game_id, lease)
    );
    CREATE FUNCTION log_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO claim_log VALUES (NEW.game_id, NEW.turn_lease,
            substr(current_setting('application_name'), {len(_PREFIX) + 1})::int, NEW.turn_claimed_at, OLD.next_turn_at,
            OLD.turn_claimed_at IS NOT NULL);
        RETURN NULL;
    END $$;
    CREATE TRIGGER log_claim AFTER UPDATE ON runtime_records FOR EACH ROW
        WHEN (NEW.turn_lease <> OLD.turn_lease) EXECUTE FUNCTION log_claim()
"""
_IN_PROGRESS = """
    SELECT count(*) FROM runtime_records AS r JOIN claim_log AS c ON c.game_id = r.game_id AND c.lease = r.turn_lease
    WHERE r.turn_claimed_at IS NOT NULL AND c.replica = $1
"""
_AGAIN = """
    SELECT former.replica, extract(epoch FROM c.claimed_at)::float8 AS claimed_at,
        extract(epoch FROM c.claimed_at - c.due)::float8 AS late
    FROM claim_log AS c JOIN claim_log AS former ON former.game_id = c.game_id AND former.lease = c.lease - 1
    WHERE c.again
"""


@dataclass(frozen=True, slots=True)
class Again:
    """A turn whose claim was left to its lease, and that was claimed again."""

    replica: int
    """Process id of the one that left it."""
    claimed_at: float
    """Seconds since 1970 by the database's clock, which is this machine's."""
    late: float
    """Seconds after the end of the lease."""


def named(dsn: str, pid: int) -> str:
    """Return a DSN whose connections the log knows as a replica's."""
    return f"{dsn}&application_name={_PREFIX}{pid}"


async def install(connection: "asyncpg.Connection[Any]") -> None:
    """Log every claim from now on."""
    await connection.execute(_INSTALL)


async def in_progress(connection: "asyncpg.Connection[Any]", pid: int) -> int:
    """Return how many turns are claimed by a replica."""
    count: int = await connection.fetchval(_IN_PROGRESS, pid)
    return count


async def claimed_again(connection: "asyncpg.Connection[Any]") -> list[Again]:
    """Return every claim of a turn that somebody else had claimed before."""
    return [Again(**dict(row)) for row in await connection.fetch(_AGAIN)]


def waits(again: Collection[Again], killed: Mapping[int, float]) -> list[float]:
    """Return the seconds from each kill to each next claim of what it left."""
    return [each.claimed_at - killed[each.replica] for each in again if each.replica in killed]
