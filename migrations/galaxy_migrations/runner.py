"""Brings a schema up to date, also with many processes at once and when one of them is killed at any point."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from alembic.script import Script
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateSchema

from galaxy_migrations import env
from galaxy_migrations.branch import Branch, Chain, read
from galaxy_migrations.errors import MigrationError, reason, sqlstate
from galaxy_migrations.session import Log, lock_key, locked, silent
from galaxy_migrations.states import BranchState, stamps, state_of

LOCK_TIMEOUT: Final = timedelta(seconds=2)
"""How long one statement of a revision may wait for a table, since every later statement waits behind it."""
WAIT_TIMEOUT: Final = timedelta(minutes=10)
"""How long to wait for another process that migrates."""
_ATTEMPTS = 10
_LOCKED_OUT = {"55P03", "40P01"}  # lock_not_available, deadlock_detected
_SCHEMA_EXISTS = {"23505", "42P06"}  # unique_violation in pg_namespace, duplicate_schema


@dataclass(frozen=True, slots=True)
class Applied:
    """A revision that was run."""

    plugin: str
    revision: str
    seconds: float
    """How long it took, including attempts that did not get their locks."""


async def migrate(
    engine: AsyncEngine,
    schema: str,
    branches: Sequence[Branch],
    *,
    lock_timeout: timedelta = LOCK_TIMEOUT,
    wait_timeout: timedelta = WAIT_TIMEOUT,
    log: Log = silent,
) -> list[Applied]:
    """Bring every branch to its head, in the order given, each revision in a transaction of its own.

    Makes the schema if it is missing. A branch newer than the code is left alone. Where a revision does not get a lock
    on a table within `lock_timeout`, it is rolled back and tried again, ten times with growing pauses. Raises
    MigrationError naming plugin and revision; what was applied before stays, and the next run goes on from there.
    """
    chains = [read(branch) for branch in branches]
    async with engine.connect() as connection:
        found = await _states(connection, schema, chains)
    if all(state.runs for state in found.values()):
        return []  # a restart with nothing to do does not wait for the lock
    applied: list[Applied] = []
    async with locked(engine, schema, wait_timeout, log) as connection:
        await _create_schema(connection, schema)
        found = await _states(connection, schema, chains)
        await connection.rollback()
        run = _Run(connection, schema, lock_timeout, log)
        for chain in chains:
            pending = () if found[chain.plugin].runs else chain.after(found[chain.plugin].current)
            applied += [await run.apply(chain, revision) for revision in pending]
    return applied


async def offline_sql(branches: Sequence[Branch], schema: str, states: Sequence[BranchState] = ()) -> str:
    """Return `migrate` as a script for psql, from an empty schema or from the states that `check` returned.

    It takes the same lock as `migrate`, and stops if it is held. Run it with `psql -v ON_ERROR_STOP=1`.
    """
    known = {state.plugin: state for state in states}
    parts = [_preamble(schema)]
    async with env.operations():
        for branch in branches:
            chain = read(branch)
            state = known.get(branch.plugin) or state_of(chain, None)
            _refuse_unknown(state)
            if not state.runs:
                parts.append(env.render(schema, chain, state.current, state.tables))
    parts.append(f"SELECT pg_advisory_unlock({lock_key(schema)});\n")
    return "\n".join(parts)


async def _states(connection: AsyncConnection, schema: str, chains: Sequence[Chain]) -> Mapping[str, BranchState]:
    found = await stamps(connection, schema)
    states = {chain.plugin: state_of(chain, found.get(chain.plugin)) for chain in chains}
    for state in states.values():
        _refuse_unknown(state)
    return states


def _refuse_unknown(state: BranchState) -> None:
    if state.state == "unknown":
        raise MigrationError(state.message, plugin=state.plugin, revision=state.current)


async def _create_schema(connection: AsyncConnection, schema: str) -> None:
    """Create the schema if it is missing: CREATE SCHEMA IF NOT EXISTS needs the right even where it creates nothing."""
    exists = sa.text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)")
    if not (await connection.execute(exists, {"schema": schema})).scalar_one():
        try:
            await connection.execute(CreateSchema(schema, if_not_exists=True))
        except DBAPIError as error:
            await connection.rollback()
            if sqlstate(error) not in _SCHEMA_EXISTS:
                raise MigrationError(
                    f"schema {schema!r} is missing and cannot be created: {reason(error)}; create it, or grant CREATE "
                    "on the database, then run `backend migrate`"
                ) from error
    await connection.commit()


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of `migrate` that has the lock."""

    connection: AsyncConnection
    schema: str
    lock_timeout: timedelta
    log: Log

    async def apply(self, chain: Chain, revision: Script) -> Applied:
        started = time.monotonic()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with env.operations():
                    await self.connection.run_sync(env.apply, self.schema, chain, revision, self.lock_timeout)
                break
            except Exception as error:
                await self.connection.rollback()
                if attempt == _ATTEMPTS or not _locked_out(error):
                    raise _failed(chain, revision, error) from error
            self.log(f"{revision.revision}: a table is in use: try {attempt} of {_ATTEMPTS}", plugin=chain.plugin)
            # Statements that queued behind the lock get at least the time for which they waited.
            pause = self.lock_timeout.total_seconds() * min(attempt, 4)
            await asyncio.sleep(pause * random.uniform(1, 1.5))  # noqa: S311 - spreads load, keeps no secret
        applied = Applied(chain.plugin, revision.revision, time.monotonic() - started)
        self.log(f"{applied.revision}: applied in {applied.seconds:.3f} s", plugin=chain.plugin)
        return applied


def _locked_out(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and sqlstate(error) in _LOCKED_OUT


def _failed(chain: Chain, revision: Script, error: Exception) -> MigrationError:
    remedy = "correct the cause"
    if _locked_out(error):
        remedy = "end the transactions that hold its tables (see pg_stat_activity)"
    return MigrationError(
        f"plugin {chain.plugin!r}: revision {revision.revision} failed and was rolled back: {reason(error)}; {remedy}, "
        "then run `backend migrate`; what was applied before it stays",
        plugin=chain.plugin,
        revision=revision.revision,
    )


def _preamble(schema: str) -> str:
    quoted = '"' + schema.replace('"', '""') + '"'
    return (
        f"CREATE SCHEMA IF NOT EXISTS {quoted};\n"
        f"SELECT set_config('search_path', concat_ws(', ', '{quoted}', "
        "nullif(current_setting('search_path'), '')), false);\n"
        f"DO $$ BEGIN IF NOT pg_try_advisory_lock({lock_key(schema)}) THEN\n"
        "  RAISE EXCEPTION 'another process is migrating this schema';\n"
        "END IF; END $$;\n"
    )
