"""The state of a schema: each version table compared with the installed revisions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galaxy_migrations.branch import VERSION_TABLE_PREFIX, Branch, Chain, number_of, read

State = Literal["current", "older", "newer", "missing", "unknown"]

TABLES = sa.text("""
    SELECT c.relname::text, obj_description(c.oid, 'pg_class')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relkind IN ('r', 'p')
""")
"""Every table of a schema, with its comment."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The content of a plugin's version table."""

    revisions: tuple[str, ...]
    """One, unless something other than this package has written there."""
    tables: tuple[str, ...]
    """The tables its revisions created, sorted: kept as the version table's comment."""


@dataclass(frozen=True, slots=True)
class BranchState:
    """The state of one plugin's branch in a schema."""

    plugin: str
    current: str | None
    """Revision in the database, None if there is none."""
    head: str | None
    """Newest revision that is installed."""
    state: State
    tables: tuple[str, ...] = ()
    """The tables its revisions created, sorted."""

    @property
    def runs(self) -> bool:
        """Whether the code can work with this schema: one that is newer only got additions (SPEC K-3)."""
        return self.state in {"current", "newer"}

    @property
    def message(self) -> str:
        """The state in one sentence, with the plugin and the remedy."""
        start = f"plugin {self.plugin!r}: the schema is"
        match self.state:
            case "current":
                return f"{start} at {self.current}, as the code expects"
            case "newer":
                return f"{start} at {self.current}, newer than the code, which knows {self.head}: update the code"
            case "older":
                return f"{start} at {self.current}, the code needs {self.head}: run `backend migrate`"
            case "missing":
                return f"{start} not there, the code needs {self.head}: run `backend migrate`"
            case "unknown":
                return (
                    f"{start} at {self.current}, which is not a revision of the code, whose newest is {self.head}: "
                    f"install the version that wrote it, or restore {VERSION_TABLE_PREFIX}{self.plugin} from a backup"
                )


async def check(engine: AsyncEngine, schema: str, branches: Sequence[Branch]) -> list[BranchState]:
    """Compare the schema with the installed revisions, in the order given; changes nothing."""
    chains = [read(branch) for branch in branches]
    async with engine.connect() as connection:
        found = await stamps(connection, schema)
    return [state_of(chain, found.get(chain.plugin)) for chain in chains]


async def orphans(engine: AsyncEngine, schema: str, known: Iterable[str]) -> list[str]:
    """Return the plugins that have a branch in the schema but are not among the known ones, sorted."""
    async with engine.connect() as connection:
        return sorted((await stamps(connection, schema)).keys() - set(known))


def state_of(chain: Chain, stamp: Stamp | None) -> BranchState:
    """Return the state that a version table shows."""
    if stamp is None or not stamp.revisions:
        return BranchState(chain.plugin, None, chain.head, "missing")
    current = ", ".join(stamp.revisions)
    number = number_of(chain.plugin, current)
    state: State
    if current == chain.head:
        state = "current"
    elif number is None or number == 0:
        state = "unknown"
    else:
        state = "newer" if number > len(chain.revisions) else "older"
    return BranchState(chain.plugin, current, chain.head, state, stamp.tables)


async def stamps(connection: AsyncConnection, schema: str) -> dict[str, Stamp]:
    """Read every version table of a schema, by plugin; none if there is no such schema."""
    comments = {row[0]: row[1] for row in await connection.execute(TABLES, {"schema": schema})}
    plugins = [name.removeprefix(VERSION_TABLE_PREFIX) for name in comments if name.startswith(VERSION_TABLE_PREFIX)]
    if not plugins:
        return {}
    versions = sa.union_all(*(_versions(schema, plugin) for plugin in plugins))
    rows: list[Any] = list(await connection.execute(versions))
    return {
        plugin: Stamp(
            tuple(sorted(revision for owner, revision in rows if owner == plugin)),
            tuple(sorted(set(recorded(comments[VERSION_TABLE_PREFIX + plugin])) & comments.keys())),
        )
        for plugin in plugins
    }


def recorded(comment: str | None) -> list[str]:
    """Return the tables in a version table's comment; none where it is anything else."""
    try:
        value: Any = json.loads(comment or "{}")
    except ValueError:
        return []
    tables = value.get("tables") if isinstance(value, Mapping) else None
    return [name for name in tables if isinstance(name, str)] if isinstance(tables, list) else []


def record(tables: Iterable[str]) -> str:
    """Write the comment that `recorded` reads."""
    return json.dumps({"tables": sorted(tables)})


def _versions(schema: str, plugin: str) -> sa.Select[tuple[str, str]]:
    table = sa.table(VERSION_TABLE_PREFIX + plugin, sa.column("version_num", sa.String), schema=schema)
    return sa.select(sa.literal(plugin, sa.String), table.c.version_num)
