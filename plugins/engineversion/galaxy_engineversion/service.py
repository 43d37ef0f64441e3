"""The registry: what other plugins, players and operators do with versions.

What a crash leaves behind: each use case is one transaction, which changes the row and puts it into the cache's feed.
Whoever adds a game holds the version's row with FOR SHARE until the game is committed; whoever deletes the version, or
changes its image, holds it with FOR UPDATE and counts the games then. So the one waits for the other, and sees what it
has done.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from galaxy_contracts.access import AdminIdentity
from galaxy_contracts.engines import (
    EngineDrivers,
    EngineVersion,
    UnknownVersionError,
    VersionState,
    VersionUser,
    check_open,
    find_version,
)
from galaxy_engineversion import queries
from galaxy_engineversion.checks import CHECK_WORKER, Checks
from galaxy_engineversion.domain import Registration, VersionChange, numbers_of, precedence, storable
from galaxy_engineversion.errors import checking, in_use, taken
from galaxy_engineversion.notices import Notices
from galaxy_engineversion.settings import EngineVersionSettings
from galaxy_engineversion.users import VersionUsers
from galaxy_kernel.api import Cache, Connection, Context, Paging, new_id, not_found, request_id


class EngineVersionService:
    """Implements `galaxy_contracts.engines.EngineVersions` and the use cases of the routes."""

    def __init__(
        self,
        context: Context[EngineVersionSettings],
        cache: Cache[UUID, EngineVersion],
        users: VersionUsers,
        checks: Checks,
    ) -> None:
        self._context, self._cache, self._users, self._checks = context, cache, users, checks
        self._notices = Notices(context)

    def get(self, version_id: UUID) -> EngineVersion | None:
        """Return a version from memory."""
        return self._cache.get(version_id)

    def find(self, reference: str) -> EngineVersion | None:
        """Return what a reference means, from memory; see the contract."""
        return find_version(self._cache.values(), reference)

    async def use(self, connection: Connection, version_id: UUID) -> EngineVersion:
        """Return a version for a new game; see the contract."""
        version = await queries.share_version(connection, version_id)
        if version is None:
            raise UnknownVersionError(str(version_id))
        check_open(version)
        return version

    async def record_start(
        self, connection: Connection, version_id: UUID, *, describe: Mapping[str, Any] | None, digest: str | None
    ) -> EngineVersion:
        """Store what a start has shown; see the contract."""
        version = await queries.record_start(connection, version_id, storable(describe), digest)
        if version is None:
            raise UnknownVersionError(str(version_id))
        await self._cache.put(connection, version)
        return version

    def register_user(self, user: VersionUser) -> None:
        """Register a user of versions; see the contract."""
        self._users.register(user)

    def register_drivers(self, drivers: EngineDrivers) -> None:
        """Register where engines run; see the contract."""
        self._checks.register_drivers(drivers)

    def list_active(self, paging: Paging, *, engine: str | None) -> tuple[Sequence[EngineVersion], int]:
        """Return one page of the versions that take new games, by engine, the highest first, and how many there are."""
        wanted = (each for each in self._cache.values() if each.state == "active" and engine in (None, each.engine))
        found = sorted(wanted, key=lambda each: precedence(each.version), reverse=True)
        found.sort(key=lambda each: each.engine)
        begin = (paging.page - 1) * paging.page_size
        return found[begin : begin + paging.page_size], len(found)

    async def list_versions(
        self, paging: Paging, *, engine: str | None, state: VersionState | None
    ) -> tuple[Sequence[Row[Any]], int]:
        """Return one page of all versions, and how many there are."""
        async with self._context.database.reading() as connection:
            return await queries.list_versions(connection, paging, engine=engine, state=state)

    async def show(self, version_id: UUID) -> tuple[Row[Any], int]:
        """Return the whole row of a version, and how many games need it."""
        async with self._context.database.transaction() as connection:
            return await self._row(connection, version_id), await self._users.in_use(connection, version_id)

    async def add_missing(self, registrations: Sequence[Registration]) -> None:
        """Add the versions of the settings that are missing, and have them checked. Those that are there stay."""
        for each in registrations:
            values = {"engine": each.engine, "version": each.version, "image": each.image}
            made = {"id": new_id(), **values, **numbers_of(each.version), "created_by": "settings"}
            async with self._context.database.transaction() as connection:
                version = await queries.insert_version(connection, made | {"created_at": self._context.clock.now()})
                if version is None:
                    continue
                await self._cache.put(connection, version)
                await queries.request_check(connection, version.id, request_id())
                self._context.wakeups.after_commit(connection, CHECK_WORKER)

    async def create(self, actor: AdminIdentity, values: Mapping[str, Any]) -> Row[Any]:
        """Add a version."""
        made = {
            "id": new_id(),
            **values,
            **numbers_of(values["version"]),
            "created_at": self._context.clock.now(),
            "created_by": actor.username,
        }
        async with self._context.database.transaction() as connection:
            version = await queries.insert_version(connection, made)
            if version is None:
                raise taken(values["engine"], values["version"])
            await self._cache.put(connection, version)
            return await self._row(connection, version.id)

    async def change(self, version_id: UUID, change: VersionChange) -> tuple[Row[Any], int]:
        """Set some fields of a version; engine, version and image only while no game uses it.

        Operators are notified, with the same transaction, of a version that is retired while games use it.
        """
        async with self._context.database.transaction() as connection:
            row = await self._locked(connection, version_id)
            games = await self._users.in_use(connection, version_id)
            values: dict[str, Any] = {name: value for name, value in change.items() if value != getattr(row, name)}
            if games and values.keys() & {"engine", "version", "image"}:
                raise in_use(games, "its engine, version and image stay as they are")
            await self._refuse_taken(connection, row, values)
            if "version" in values:
                values.update(numbers_of(values["version"]))
            if "image" in values:
                await queries.forget_image(connection, version_id)
                self._context.wakeups.after_commit(connection, CHECK_WORKER)
            if values and (version := await queries.change_version(connection, version_id, values)) is not None:
                await self._cache.put(connection, version)
                if games and values.get("state") == "retired":
                    await self._notices.retired_in_use(connection, version, games)
            return await self._row(connection, version_id), games

    async def delete(self, version_id: UUID) -> None:
        """Delete a version that no game uses."""
        async with self._context.database.transaction() as connection:
            row = await self._locked(connection, version_id)
            games = await self._users.in_use(connection, version_id)
            if games:
                raise in_use(games, "it cannot be deleted")
            if row.check_until is not None and self._checks.possible:
                raise checking()  # its engines are known by its id alone: they must be removed first
            await queries.delete_version(connection, version_id)
            await self._cache.drop(connection, version_id)

    async def _refuse_taken(self, connection: Connection, row: Row[Any], values: Mapping[str, Any]) -> None:
        if values.keys() & {"engine", "version"}:
            engine, version = values.get("engine", row.engine), values.get("version", row.version)
            if await queries.has_version(connection, engine, version):
                raise taken(engine, version)

    async def _locked(self, connection: Connection, version_id: UUID) -> Row[Any]:
        row = await queries.lock_version(connection, version_id)
        if row is None:
            raise not_found("engine version")
        return row

    async def _row(self, connection: Connection, version_id: UUID) -> Row[Any]:
        row = await queries.find_for_operators(connection, version_id)
        if row is None:
            raise not_found("engine version")
        return row
