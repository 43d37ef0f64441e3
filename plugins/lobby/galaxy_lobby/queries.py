"""Statements about games and memberships that several parts need, as functions of a connection."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Row, Text, bindparam, delete, func, insert, select, text, true, update
from sqlalchemy.dialects.postgresql import insert as upsert

from galaxy_kernel.api import Connection, prepared, request_id, uuid_array
from galaxy_lobby.domain import LIVE, Game, GameSettings, Membership
from galaxy_lobby.tables import games, invitations, memberships

_g, _m, _i = games.c, memberships.c, invitations.c

GAME = tuple(games.c[name] for name in Game.__struct_fields__)
MEMBERSHIP = tuple(memberships.c[name] for name in Membership.__struct_fields__)
_SETTINGS = tuple(games.c[name] for name in GameSettings.__struct_fields__)

_GAME = select(*GAME).where(_g.id == bindparam("game"))
_GAME_LOCKED = _GAME.with_for_update(key_share=True)
_GAMES_LOCKED = prepared(
    text(f"""
    WITH locked AS (
        SELECT {", ".join(column.name for column in GAME)} FROM games WHERE id = ANY (CAST(:games AS uuid[]))
        ORDER BY id FOR NO KEY UPDATE
    )
    SELECT CAST(coalesce(json_agg(locked), '[]') AS text) FROM locked
""").bindparams(bindparam("games", type_=Text))  # noqa: S608  constants
)
"""As one JSON document, since turns come in sets: quicker than as rows."""
_GAMES = msgspec.json.Decoder(list[Game])
_MEMBERS = select(*MEMBERSHIP).where(_m.game_id == bindparam("game"), _m.state.in_(LIVE))


def game_of(row: Row[Any]) -> Game:
    """Return the game of a row that begins with its columns."""
    values = list(row[: len(GAME)])
    values[Game.__struct_fields__.index("awaiting")] = tuple(row.awaiting)
    return Game(*values)


async def find_game(connection: Connection, game_id: UUID) -> Game | None:
    """Return a game, whatever its state."""
    row = (await connection.execute(_GAME, {"game": game_id})).first()
    return None if row is None else game_of(row)


async def lock_game(connection: Connection, game_id: UUID) -> Game | None:
    """Return a game, and keep others from changing it and who is in it until this transaction ends."""
    row = (await connection.execute(_GAME_LOCKED, {"game": game_id})).first()
    return None if row is None else game_of(row)


async def lock_games(connection: Connection, game_ids: Collection[UUID]) -> list[Game]:
    """Lock several games in the order of their ids."""
    return _GAMES.decode((await connection.execute(_GAMES_LOCKED, {"games": uuid_array(game_ids)})).scalar_one())


async def find_settings(connection: Connection, game_id: UUID) -> GameSettings:
    """Return what memory does not hold of a game."""
    return GameSettings(*(await connection.execute(select(*_SETTINGS).where(_g.id == game_id))).one())


async def insert_game(connection: Connection, values: Mapping[str, Any]) -> Game | None:
    """Insert a game; None where its owner has one of the same `client_key`."""
    statement = upsert(games).on_conflict_do_nothing().returning(*GAME)
    row = (await connection.execute(statement.values(**values, request_id=request_id()))).first()
    return None if row is None else game_of(row)


async def change_game(connection: Connection, game_id: UUID, values: Mapping[str, Any]) -> Game:
    """Change a locked game, and count the change."""
    changed = {**values, "version": _g.version + 1, "request_id": request_id()}
    statement = update(games).where(_g.id == game_id).values(changed).returning(*GAME)
    return game_of((await connection.execute(statement)).one())


async def find_members(connection: Connection, game_id: UUID) -> list[Membership]:
    """Return who is in a game that has not ended."""
    return [Membership(*row) for row in await connection.execute(_MEMBERS, {"game": game_id})]


async def find_last_members(connection: Connection, game_id: UUID) -> list[Membership]:
    """Return who had each seat of a game last, and who is in it without a seat."""
    ranked = func.row_number().over(partition_by=func.coalesce(_m.seat, -1), order_by=(_m.joined_at.desc(), _m.id))
    ordered = select(*MEMBERSHIP, ranked.label("place")).where(_m.game_id == game_id).subquery()
    columns = [ordered.c[column.name] for column in MEMBERSHIP]
    statement = select(*columns).where((ordered.c.place == 1) | (ordered.c.seat.is_(None)))
    return [Membership(*row) for row in await connection.execute(statement)]


async def insert_memberships(connection: Connection, members: Iterable[Membership]) -> None:
    """Insert memberships."""
    rows = [msgspec.structs.asdict(member) | {"request_id": request_id()} for member in members]
    await connection.execute(insert(memberships).values(rows))


async def change_memberships(
    connection: Connection, which: Collection[UUID], values: Mapping[str, Any]
) -> list[Membership]:
    """Change memberships of a locked game alike."""
    statement = update(memberships).where(_m.id.in_(which)).values({**values, "request_id": request_id()})
    return [Membership(*row) for row in await connection.execute(statement.returning(*MEMBERSHIP))]


async def delete_memberships(connection: Connection, which: Collection[UUID]) -> None:
    """Delete memberships that never came to play."""
    await connection.execute(delete(memberships).where(_m.id.in_(which)))


async def find_standing(
    connection: Connection, game_id: UUID, account_id: UUID, email_key: bytes | None, now: datetime
) -> tuple[Game, Membership | None, bool] | None:
    """Return a game, an account's newest part in it, past ones included, and whether it is invited."""
    newest = (
        select(*MEMBERSHIP)
        .where(_m.game_id == game_id, _m.account_id == account_id)
        .order_by(_m.state.in_(LIVE).desc(), _m.joined_at.desc())
        .limit(1)
        .lateral("mine")
    )
    mine = [newest.c[column.name].label(f"m_{column.name}") for column in MEMBERSHIP]
    pending = select(_i.id).where(_i.game_id == game_id, _i.state == "pending", _i.expires_at > now)
    invited = pending.where(addressed_to(account_id, email_key)).exists().label("invited")
    statement = select(*GAME, *mine, invited).select_from(games.outerjoin(newest, onclause=true()))
    row: Any = (await connection.execute(statement.where(_g.id == game_id))).first()
    if row is None:
        return None
    found = row[len(GAME) : len(GAME) + len(MEMBERSHIP)]
    return game_of(row), None if row.m_id is None else Membership(*found), row.invited


def addressed_to(account_id: UUID, email_key: bytes | None) -> Any:
    """Return the condition for invitations of an account, by its id or by its address alone."""
    mine = _i.account_id == account_id
    return mine if email_key is None else mine | (_i.account_id.is_(None) & (_i.email_key == email_key))
