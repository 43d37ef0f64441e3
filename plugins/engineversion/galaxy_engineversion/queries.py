"""Every statement of the plugin, as functions of a connection."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Row, Select, and_, case, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from galaxy_contracts.engines import EngineVersion, VersionState
from galaxy_engineversion.domain import Claim
from galaxy_engineversion.tables import engine_versions
from galaxy_kernel.api import Connection, Paging, fetch_page

_c = engine_versions.c
_VERSION = tuple(_c[name] for name in EngineVersion.__struct_fields__)
_now = func.statement_timestamp()
_requested = _c.check_requested_at.is_not(None)
_due = and_(_requested, or_(_c.check_until.is_(None), _c.check_until <= _now))
_check_state = case(
    (_requested, "checking"),
    (_c.check_result.is_(None), None),
    (_c.check_result["conforms"].as_boolean(), "passed"),
    else_="failed",
)
_FOR_OPERATORS: Select[Any] = select(
    *(column for column in _c if column.name not in ("describe", "check_result")), _check_state.label("check_state")
)
_WHOLE: Select[Any] = select(engine_versions, _check_state.label("check_state"))
_NOT_CHECKED = {"check_requested_at": None, "check_request_id": None, "check_until": None, "check_tries": 0}


async def insert_version(connection: Connection, values: Mapping[str, Any]) -> EngineVersion | None:
    """Insert a version; None where the engine has one of this number."""
    statement = insert(engine_versions).on_conflict_do_nothing(index_elements=[_c.engine, _c.version])
    return await _one(connection, statement.values(**values).returning(*_VERSION))


async def list_versions(
    connection: Connection, paging: Paging, *, engine: str | None = None, state: VersionState | None = None
) -> tuple[Sequence[Row[Any]], int]:
    """Return one page of versions by engine, the highest numbers first, and how many there are."""
    order = (_c.engine, _c.major.desc(), _c.minor.desc(), _c.patch.desc(), _c.id.desc())
    statement = _FOR_OPERATORS.order_by(*order)
    if engine is not None:
        statement = statement.where(_c.engine == engine)
    if state is not None:
        statement = statement.where(_c.state == state)
    return await fetch_page(connection, statement, paging)


async def find_for_operators(connection: Connection, version_id: UUID) -> Row[Any] | None:
    """Return the whole row of a version, and how its check is."""
    row: Row[Any] | None = (await connection.execute(_WHOLE.where(_c.id == version_id))).first()
    return row


async def lock_version(connection: Connection, version_id: UUID) -> Row[Any] | None:
    """Return the whole row, and keep others from changing and using the version until this transaction ends."""
    statement = select(engine_versions).where(_c.id == version_id).with_for_update()
    row: Row[Any] | None = (await connection.execute(statement)).first()
    return row


async def share_version(connection: Connection, version_id: UUID) -> EngineVersion | None:
    """Return a version, and keep others from changing and deleting it until this transaction ends."""
    return await _one(connection, select(*_VERSION).where(_c.id == version_id).with_for_update(read=True))


async def has_version(connection: Connection, engine: str, version: str) -> bool:
    """Return whether the engine has a version of this number."""
    statement = select(_c.id).where(_c.engine == engine, _c.version == version)
    return (await connection.execute(statement)).first() is not None


async def change_version(connection: Connection, version_id: UUID, values: Mapping[str, Any]) -> EngineVersion | None:
    """Set columns of a version."""
    statement = update(engine_versions).where(_c.id == version_id).values(**values)
    return await _one(connection, statement.returning(*_VERSION))


async def forget_image(connection: Connection, version_id: UUID) -> None:
    """Clear what was found of the former image; a check that runs is void, and begins again."""
    values = {"digest": None, "describe": None, "checked_at": None, "check_result": None}
    lease = {"check_lease": _c.check_lease + 1, "check_until": None, "check_tries": 0}
    await connection.execute(update(engine_versions).where(_c.id == version_id).values(**values, **lease))


async def record_start(
    connection: Connection, version_id: UUID, describe: Mapping[str, Any] | None, digest: str | None
) -> EngineVersion | None:
    """Set what is not known yet."""
    statement = update(engine_versions).where(_c.id == version_id)
    statement = statement.values(digest=func.coalesce(_c.digest, literal(digest, _c.digest.type)))
    if describe is not None:
        statement = statement.values(describe=func.coalesce(_c.describe, literal(dict(describe), _c.describe.type)))
    return await _one(connection, statement.returning(*_VERSION))


async def delete_version(connection: Connection, version_id: UUID) -> None:
    """Delete a version."""
    await connection.execute(delete(engine_versions).where(_c.id == version_id))


async def request_check(connection: Connection, version_id: UUID, request_id: str) -> None:
    """Request a check; nothing where one waits or runs already."""
    statement = update(engine_versions).where(_c.id == version_id, ~_requested)
    await connection.execute(statement.values(check_requested_at=_now, check_request_id=request_id))


async def claim_check(connection: Connection, lease: timedelta) -> Claim | None:
    """Claim the check that has waited longest, for as long as the lease; None where none is due."""
    waiting = select(_c.id).where(_due).order_by(_c.check_requested_at).limit(1).with_for_update(skip_locked=True)
    statement = update(engine_versions).where(_c.id == waiting.scalar_subquery())
    statement = statement.values(
        check_lease=_c.check_lease + 1, check_tries=_c.check_tries + 1, check_until=_now + lease
    )
    columns = (_c.id, _c.engine + "@" + _c.version, _c.image, _c.digest, _c.check_lease, _c.check_tries)
    row = (await connection.execute(statement.returning(*columns, _c.check_request_id))).first()
    return None if row is None else Claim(*row)


async def renew_check(connection: Connection, claim: Claim, lease: timedelta) -> bool:
    """Renew the lease of a claim; False where the claim does not hold any more."""
    statement = update(engine_versions).where(*_held(claim)).values(check_until=_now + lease)
    return (await connection.execute(statement.returning(_c.id))).first() is not None


async def release_check(connection: Connection, claim: Claim) -> None:
    """Release a claim, as if the check had not been tried: another process may claim it at once."""
    statement = update(engine_versions).where(*_held(claim))
    await connection.execute(statement.values(check_until=None, check_tries=_c.check_tries - 1))


async def finish_check(
    connection: Connection, claim: Claim, at: datetime, result: Mapping[str, Any], **found: Any
) -> EngineVersion | None:
    """Store the result of a check, and what was found; None where the claim does not hold any more."""
    values = {**_NOT_CHECKED, "checked_at": at, "check_result": dict(result), **found}
    return await _one(connection, update(engine_versions).where(*_held(claim)).values(**values).returning(*_VERSION))


def _held(claim: Claim) -> tuple[Any, ...]:
    return (_c.id == claim.id, _c.check_lease == claim.lease, _requested)


async def _one(connection: Connection, statement: Executable) -> EngineVersion | None:
    row = (await connection.execute(statement)).first()
    return None if row is None else EngineVersion(*row)


_USABLE: Select[Any] = (
    select(_c.id, _c.engine, _c.version, _c.image, _c.state, _check_state.label("check_state"))
    .where(_c.state != "retired")
    .order_by(_c.engine, _c.major, _c.minor, _c.patch)
)


async def list_usable(connection: Connection) -> Sequence[Row[Any]]:
    """Return the versions that games may run on, and how their checks are."""
    rows: Sequence[Row[Any]] = (await connection.execute(_USABLE)).all()
    return rows
