"""Checks of the database: its version and state, what our role may do there, and the schema."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Text, bindparam, text

from galaxy_chassis.doctor import Finding
from galaxy_kernel.core.settings import KernelSettings
from galaxy_kernel.database import Database
from galaxy_kernel.database.clock import MOST_SKEW, DatabaseClock
from galaxy_migrations.branch import VERSION_TABLE_PREFIX, Branch
from galaxy_migrations.states import BranchState, check, orphans

_OLDEST = 130_000
"""pg_current_xact_id() and pg_visible_in_snapshot() came with PostgreSQL 13."""
_OWN_CONNECTIONS = 4
"""Beside the pool: the listener, and the locks of singletons."""
_LONG = "5 minutes"
"""A transaction older than this keeps changes from the feed's clean-up, and dead rows from the vacuum."""

_STATE = text("""
    SELECT current_setting('server_version_num')::int AS number, version() AS version, current_user::text AS role,
        current_database()::text AS database, pg_is_in_recovery() AS standby,
        current_setting('default_transaction_read_only') = 'on' AS read_only,
        current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS most_of_role,
        (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS most_of_database,
        has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
        to_regnamespace(quote_ident(:schema)) IS NOT NULL AS has_schema,
        coalesce(has_schema_privilege(to_regnamespace(quote_ident(:schema)), 'USAGE'), false) AS may_use,
        coalesce(has_schema_privilege(to_regnamespace(quote_ident(:schema)), 'CREATE'), false) AS may_create
""").bindparams(bindparam("schema", type_=Text))
_FORBIDDEN = text("""
    SELECT relname::text AS name FROM pg_class
    WHERE relnamespace = to_regnamespace(quote_ident(:schema)) AND relkind IN ('r', 'p') AND CASE
        WHEN starts_with(relname, :versions) THEN NOT has_table_privilege(oid, 'SELECT')
        WHEN relname = ANY(:tables) THEN NOT (
            has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
            AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
        ELSE false END
    ORDER BY relname
""").bindparams(
    bindparam("schema", type_=Text), bindparam("versions", type_=Text), bindparam("tables", type_=ARRAY(Text))
)
_OLD_TRANSACTIONS = text("""
    SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND xact_start < now() - CAST(:age AS interval) AND backend_type = 'client backend') AS running,
        (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()
            AND prepared < now() - CAST(:age AS interval)) AS prepared
""").bindparams(bindparam("age", type_=Text))


@dataclass(frozen=True, slots=True)
class Server:
    """What the database says of itself and of our role."""

    row: Any
    schema: str

    def version(self) -> Finding:
        """Check the server's version."""
        name = str(self.row.version).partition(" on ")[0]
        if self.row.number < _OLDEST:
            return Finding("postgres", "failed", f"{name}: needs PostgreSQL 13 or later")
        return Finding("postgres", "ok", name)

    def writable(self) -> Finding:
        """Check that the server takes writes."""
        if self.row.standby:
            told = "the server is a standby and takes no writes: name the primary in BACKEND_POSTGRES_DSN"
            return Finding("writes", "failed", told)
        if self.row.read_only:
            told = (
                "default_transaction_read_only is on, and every write fails: ALTER DATABASE "
                f"{self.row.database} RESET default_transaction_read_only; the same for the role {self.row.role}"
            )
            return Finding("writes", "failed", told)
        return Finding("writes", "ok", "the server takes writes")

    def durable(self) -> Finding:
        """Check that what was committed survives a crash of the server."""
        wanted = {"fsync": self.row.fsync, "full_page_writes": self.row.full_page_writes}
        off = [name for name, value in wanted.items() if value != "on"]
        off += ["synchronous_commit"] if self.row.synchronous_commit == "off" else []
        if off:
            told = f"{', '.join(off)} of the server is off: a crash of its machine loses what was committed; turn it on"
            return Finding("durability", "warning", told)
        return Finding("durability", "ok", "commits survive a crash of the server")

    def connections(self, settings: KernelSettings) -> Finding:
        """Compare our connections with those that the server allows."""
        limits = (self.row.most, self.row.most_of_role, self.row.most_of_database)
        most, wanted = min(limit for limit in limits if limit >= 0), settings.postgres_pool_size + _OWN_CONNECTIONS
        if wanted > most:
            told = (
                f"one process uses up to {wanted} connections, and the server allows {most}: lower "
                "BACKEND_POSTGRES_POOL_SIZE, or raise max_connections or the limit of role or database"
            )
            return Finding("connections", "failed", told)
        return Finding("connections", "ok", f"{most} are allowed, enough for {most // wanted} processes like this one")


async def server(database: Database) -> Server:
    """Ask the server for its state, in one round trip."""
    async with database.reading() as connection:
        return Server((await connection.execute(_STATE, {"schema": database.schema})).one(), database.schema)


async def clock(database: Database) -> Sequence[Finding]:
    """Compare this machine's clock with the database's."""
    found = DatabaseClock()
    await found.ask(database)
    told = f"{abs(found.skew):.1f} s from the database's"
    if abs(found.skew) <= MOST_SKEW:
        return [Finding("clock", "ok", told)]
    return [Finding("clock", "warning", f"{told}: check NTP on both machines")]


async def transactions(database: Database) -> Sequence[Finding]:
    """Look for transactions that somebody has forgotten."""
    async with database.reading() as connection:
        running, prepared = (await connection.execute(_OLD_TRANSACTIONS, {"age": _LONG})).one()
    if not running and not prepared:
        return [Finding("transactions", "ok", f"none is older than {_LONG}")]
    told = (
        f"{running} running and {prepared} prepared ones are older than {_LONG}, and keep old rows from being removed: "
        "end them (pg_stat_activity, pg_terminate_backend; pg_prepared_xacts, ROLLBACK PREPARED)"
    )
    return [Finding("transactions", "warning", told)]


async def privileges(database: Database, state: Server, branches: Sequence[Branch]) -> Sequence[Finding]:
    """Check what our role may do in the schema and with the tables."""
    role, schema = state.row.role, state.schema
    if not state.row.has_schema:
        if state.row.may_create_schemas:
            return [Finding("privileges", "ok", f"the role {role} may create the schema {schema}")]
        grant = f"GRANT CREATE ON DATABASE {state.row.database} TO {role}"
        told = f"there is no schema {schema}, and the role {role} may not create it: {grant}"
        return [Finding("privileges", "failed", told)]
    if not state.row.may_use:
        grant = f"GRANT USAGE ON SCHEMA {schema} TO {role}"
        return [Finding("privileges", "failed", f"the role {role} may not use the schema {schema}: {grant}")]
    forbidden = await _forbidden(database, branches)
    if forbidden:
        grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
        told = f"the role {role} may not read or write {_some(forbidden)}: {grant}"
        return [Finding("privileges", "failed", told)]
    return [Finding("privileges", "ok", f"the role {role} may read and write every table")]


async def _forbidden(database: Database, branches: Sequence[Branch]) -> list[str]:
    tables = [table for branch in branches for table in branch.metadata.tables]
    given = {"schema": database.schema, "versions": VERSION_TABLE_PREFIX, "tables": tables}
    async with database.reading() as connection:
        return list((await connection.execute(_FORBIDDEN, given)).scalars())


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more tables" if len(names) > most else ""
    return ", ".join(names[:most]) + more


async def schema(
    database: Database, settings: KernelSettings, state: Server, branches: Sequence[Branch], disabled: set[str]
) -> Sequence[Finding]:
    """Compare the schema with the installed revisions."""
    states = await check(database.engine, database.schema, branches)
    if all(each.state == "missing" for each in states):
        return [_empty(database.schema, settings, state)]
    found = [_branch(each, settings, state) for each in states]
    for name in await orphans(database.engine, database.schema, {each.plugin for each in branches} | disabled):
        told = f"not installed: install it, or `backend purge {name}`"
        found.append(Finding(f"schema of {name}", "warning", told))
    return found


def _empty(name: str, settings: KernelSettings, state: Server) -> Finding:
    if not settings.migrate_on_start:
        told = f"the schema {name} is empty, and BACKEND_MIGRATE_ON_START is false: run `backend migrate`"
        return Finding("schema", "failed", told)
    if state.row.has_schema and not state.row.may_create:
        return Finding("schema", "failed", f"the schema {name} is empty: {_grant(name, state)}")
    return Finding("schema", "warning", f"the schema {name} is empty: `backend migrate` or `backend serve` fills it")


def _branch(found: BranchState, settings: KernelSettings, state: Server) -> Finding:
    name = f"schema of {found.plugin}"
    if found.runs:
        return Finding(name, "ok", found.message)
    if found.state != "unknown" and not state.row.may_create:
        return Finding(name, "failed", f"{found.message}; {_grant(state.schema, state)}")
    serves = settings.migrate_on_start and found.state != "unknown"
    return Finding(name, "failed", f"{found.message}{', or `backend serve`, which does it' if serves else ''}")


def _grant(name: str, state: Server) -> str:
    role = state.row.role
    return f"the role {role} may not create tables there: GRANT CREATE ON SCHEMA {name} TO {role}, or use its owner"
