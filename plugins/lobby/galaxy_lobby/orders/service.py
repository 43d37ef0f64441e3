"""Orders, options and reports of a seat: membership and seat are looked up in memory, the rest is the runtime's.

What a crash leaves behind: a set of orders is committed by the runtime before it answers; that a report was seen is one
transaction of its own, and one that is lost leaves the report unread until it is asked for again.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from galaxy_contracts.runtime import RUNTIME, Receipt, StoredOrders, Submission, TurnSummary
from galaxy_kernel.api import Context, Paging, Problem, conflict, not_found
from galaxy_lobby.domain import DEPARTED, PLAYING, Game, Membership
from galaxy_lobby.memberships.queries import see_turn
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.standing import Standing
from galaxy_lobby.store import GameStore

_READERS = ("playing", "eliminated", "finished")
"""States of memberships whose reports may be read, all of them."""


class OrderService:
    """What players do with their seats."""

    def __init__(self, context: Context[LobbySettings], store: GameStore) -> None:
        self._context, self._store = context, store

    async def put(self, account_id: UUID, game_id: UUID, submission: Submission) -> Receipt:
        """Have a set of orders judged and kept.

        Raise the problems 404, 409 `game_not_running` and `not_playing`, and those of `Runtime.put_orders`.
        """
        seat = await self._playing(account_id, game_id)
        return await self._context.require(RUNTIME).put_orders(game_id, seat, submission)

    async def stored(self, account_id: UUID, game_id: UUID) -> tuple[int, StoredOrders | None]:
        """Return the current turn and the seat's set for it. Raise the problems of `put` but the runtime's."""
        seat = await self._playing(account_id, game_id)
        runtime = self._context.require(RUNTIME)
        async with self._context.database.reading() as connection:
            found = await runtime.orders(connection, game_id, seat)
        status, game = runtime.status(game_id), self._store.memory.games.get(game_id)
        turn = status.turn if status is not None else game.turn if game is not None else None
        return (found.turn if found is not None else turn or 0), found

    async def options(self, account_id: UUID, game_id: UUID) -> bytes:
        """Return what the engine says that the seat may order. Raise the problems of `put` but the set's own."""
        seat = await self._playing(account_id, game_id)
        return await self._context.require(RUNTIME).ask(game_id, seat, "options")

    async def validate(self, account_id: UUID, game_id: UUID, turn: int, orders: Sequence[msgspec.Raw]) -> bytes:
        """Return the engine's verdict on a set that is not kept. Raise the problems of `options`."""
        seat = await self._playing(account_id, game_id)
        body = msgspec.json.encode({"turn": turn, "orders": orders})
        return await self._context.require(RUNTIME).ask(game_id, seat, "validate", body)

    async def report(self, account_id: UUID, game_id: UUID, turn: int) -> bytes:
        """Return the seat's own report on a position, and note that it was seen. Raise the problem 404."""
        member = self._store.memory.member(game_id, account_id)
        if member is None or member.seat is None:
            member = (await self._standing(account_id, game_id)).membership
        if member is None or member.seat is None or not _may_read(member, turn):
            raise not_found("report")
        async with self._context.database.reading() as connection:
            found = await self._context.require(RUNTIME).report(connection, game_id, turn, member.seat)
        if found is None:
            raise not_found("report")
        if member.live and turn > member.seen_turn:
            await self._seen(member, turn)
        return bytes(memoryview(found))

    async def public_report(self, account_id: UUID, game_id: UUID, turn: int) -> bytes:
        """Return what everybody may know of a position of a game that one may see. Raise the problem 404."""
        await self._check_visible(account_id, game_id)
        async with self._context.database.reading() as connection:
            found = await self._context.require(RUNTIME).public_report(connection, game_id, turn)
        if found is None:
            raise not_found("public report")
        return bytes(memoryview(found))

    async def turns(self, account_id: UUID, game_id: UUID, paging: Paging) -> tuple[list[TurnSummary], int]:
        """Return one page of a game's positions, the newest first. Raise the problem 404."""
        async with self._context.database.reading() as connection:
            if (await self._store.standing(connection, account_id, game_id)).game.turn is None:
                return [], 0
            offset = (paging.page - 1) * paging.page_size
            return await self._context.require(RUNTIME).turns(connection, game_id, paging.page_size, offset)

    async def _playing(self, account_id: UUID, game_id: UUID) -> int:
        """Return the seat of an account that may order.

        By memory; what it would refuse is looked up, since another replica may have changed it a moment ago.
        """
        memory = self._store.memory
        game, member = memory.games.get(game_id), memory.member(game_id, account_id)
        if game is None or member is None or _refusal(game, member) is not None:
            standing = await self._standing(account_id, game_id)
            game, member = standing.game, standing.membership
        refusal = _refusal(game, member)
        if refusal is not None or member is None or member.seat is None:
            raise refusal or not_found("seat")
        return member.seat

    async def _check_visible(self, account_id: UUID, game_id: UUID) -> None:
        """Return if an account may know of a game: by memory, or else by the database. Raise the problem 404."""
        memory = self._store.memory
        game = memory.games.get(game_id)
        if game is not None:
            member = memory.member(game_id, account_id)
            if Standing(account_id, game, member, invited=False).visible:
                return
        await self._standing(account_id, game_id)

    async def _standing(self, account_id: UUID, game_id: UUID) -> Standing:
        async with self._context.database.reading() as connection:
            return await self._store.standing(connection, account_id, game_id)

    async def _seen(self, member: Membership, turn: int) -> None:
        async with self._context.database.transaction() as connection:
            changed = await see_turn(connection, member.id, turn)
            if changed is not None:
                await self._store.keep_members(connection, [changed])


def _may_read(member: Membership, turn: int) -> bool:
    """Return whether a report of a seat is its player's: of one who went, those up to then."""
    return member.state in _READERS or (member.state in DEPARTED and turn <= member.seen_turn)


def _refusal(game: Game, member: Membership | None) -> Problem | None:
    """Return why a member of a game may not order."""
    if member is None:
        return not_found("seat")
    if game.ended:
        return conflict("game_ended", f"The game is {game.state}.")
    if game.state not in PLAYING or game.turn is None:
        return conflict("game_not_running", f"The game takes no orders: it is {game.state}.")
    if member.state != "playing" or member.seat is None:
        return conflict("not_playing", "You do not play in this game any more.")
    return None
