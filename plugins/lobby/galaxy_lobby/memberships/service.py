"""Joining and leaving games, and vacating the seat of a player who goes.

What a crash leaves behind: each use case is one transaction of the game's count, the membership, the runtime's seat,
the memory's feed and the notification. Before the COMMIT nothing has happened; after it everything has, and a caller
who never heard the answer repeats the request: who is in a game stays in it, who is not is told so.
"""

from contextlib import suppress
from typing import Any
from uuid import UUID

from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.runtime import RUNTIME
from galaxy_kernel.api import Connection, Context, Problem, conflict, new_id, not_found
from galaxy_lobby import notices
from galaxy_lobby.domain import ENROLLING, LAUNCHED, Game, Membership, accounts_of, after_leaving
from galaxy_lobby.memberships import queries
from galaxy_lobby.notices import Notices, VacatedBy
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.standing import Standing
from galaxy_lobby.store import GameStore


class AlreadySeatedError(Exception):
    """Who asks for a seat has one: the transaction that asked is rolled back, and all is as it should be."""


class MembershipService:
    """Who sits at a game."""

    def __init__(self, context: Context[LobbySettings], store: GameStore, told: Notices) -> None:
        self._context, self._store, self._notices = context, store, told

    async def join(self, account_id: UUID, game_id: UUID) -> None:
        """Join a game that enrols; again changes nothing.

        A private one takes its owner and who is invited. Raise the problems 404, 409 `game_full` and
        `game_not_enrolling`.
        """
        with suppress(AlreadySeatedError):
            async with self._context.database.transaction() as connection:
                standing = await self._store.standing(connection, account_id, game_id)
                await self.seat(connection, standing)

    async def seat(self, connection: Connection, standing: Standing) -> None:
        """Add an account to a game with the caller's transaction, which AlreadySeatedError rolls back."""
        account_id, game_id, now = standing.account_id, standing.game.id, self._store.now()
        if standing.member is not None:
            await queries.accept_invitations(connection, game_id, account_id, self._store.email_key_of(account_id), now)
            return
        if not standing.game.open:
            raise _refusal(standing.game)
        game = await queries.take_seats(connection, game_id, 1, now)
        if game is None:  # somebody was quicker, perhaps the same player by another request
            standing = await self._store.standing(connection, account_id, game_id)
            raise AlreadySeatedError if standing.member is not None else _refusal(standing.game)
        key = self._store.email_key_of(account_id)
        invited = await queries.accept_invitations(connection, game_id, account_id, key, now)
        if game.visibility == "private" and not invited and game.owner_id != account_id:
            raise not_found("game")
        members = await self._store.members(connection, game)
        if any(member.account_id == account_id for member in members):
            raise AlreadySeatedError  # by another request, a moment ago
        member = self._member(game, self._store.name_of(account_id), account_id=account_id)
        await self._store.add_members(connection, [member])
        await self._store.keep(connection, game)
        told = accounts_of([], game.owner_id, without=account_id)
        await self._notices.tell(connection, notices.JOINED, game, told, once=member.id, **_count(game, member))

    async def leave(self, account_id: UUID, game_id: UUID) -> None:
        """Leave a game before its start. Raise the problems 404, 409 `not_a_member` and `game_started`."""
        async with self._store.locked(account_id, game_id) as (connection, standing):
            if standing.member is None:
                raise conflict("not_a_member", "You are not in this game.")
            if standing.game.state not in ENROLLING:
                raise conflict("game_started", "The game has started: resign instead.")
            await self.unseat(connection, standing.game, standing.member, by=account_id)

    async def unseat(self, connection: Connection, game: Game, member: Membership, *, by: UUID | None) -> Game:
        """Remove a member from a locked game that enrols. `by` is who does it; None: the account is deleted."""
        await self._store.remove_members(connection, [member])
        changed = await self._store.change(connection, game, after_leaving(game))
        removed = by is not None and by != member.account_id
        told = accounts_of([member] if removed else [], changed.owner_id, without=by)
        told = tuple(account for account in told if removed or account != member.account_id)
        payload = _count(changed, member) | {"removed": removed}
        await self._notices.tell(connection, notices.LEFT, changed, told, once=member.id, **payload)
        return changed

    async def resign(self, account_id: UUID, game_id: UUID) -> None:
        """Resign a seat of a game that was started for good.

        Raise the problems 404, 409 `not_a_member`, `game_not_running` and `not_playing`.
        """
        async with self._store.locked(account_id, game_id) as (connection, standing):
            game, member = standing.game, standing.member
            if member is None:
                raise conflict("not_a_member", "You are not in this game.")
            if game.state not in LAUNCHED:
                raise conflict("game_not_running", "The game has not started: leave it instead.")
            if member.state != "playing":
                raise conflict("not_playing", "You were eliminated: there is nothing to resign.")
            await self.vacate(connection, game, member, "resigned")

    async def remove(self, account_id: UUID, game_id: UUID, removed: UUID) -> None:
        """Have the owner take a member out: before the first position anybody, later who missed the last turn.

        Raise the problems 404, 403 `owner_only`, 409 `has_not_missed`, `not_playing` and `game_not_running`.
        """
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            members = await self._store.members(connection, game)
            member = next((each for each in members if each.account_id == removed), None)
            if member is None:
                raise not_found("member")
            if game.state in ENROLLING:
                await self.unseat(connection, game, member, by=account_id)
                return
            if game.state not in LAUNCHED:
                raise conflict("game_not_running", f"Nobody can be removed from the game: it is {game.state}.")
            if member.state != "playing":
                raise conflict("not_playing", "The player was eliminated: there is nothing to remove.")
            if game.turn is not None and not member.missed_in_row:
                raise conflict("has_not_missed", "Only who missed the last turn can be removed from a running game.")
            await self.vacate(connection, game, member, "removed")

    async def vacate(
        self, connection: Connection, game: Game, member: Membership, reason: VacatedBy, **changes: Any
    ) -> None:
        """End the part of a player in a locked game that was launched: the seat is vacant, and the others are told."""
        others = [each for each in await self._store.members(connection, game) if each.id != member.id]
        state = "resigned" if reason == "resigned" else "removed"
        now = self._store.now()
        last = member.seen_turn if game.turn is None else game.turn  # reports up to now stay the player's
        await self._store.change_members(connection, [member], state=state, ended_at=now, seen_turn=last, **changes)
        if member.state == "playing":
            await self._context.require(RUNTIME).vacate(connection, game.id, member.seat or 0)
        told = accounts_of([*others, member] if reason == "removed" else others, game.owner_id)
        gone = member.account_id if reason != "removed" else None
        payload = {"seat": member.seat, "player": changes.get("name", member.name), "reason": reason}
        recipients = tuple(account for account in told if account != gone)
        await self._notices.tell(connection, notices.SEAT_VACANT, game, recipients, once=member.id, **payload)

    async def add_machines(self, account_id: UUID, game_id: UUID, count: int) -> None:
        """Have the owner give seats to machines.

        Raise the problems 404, 403 `owner_only`, 409 `machines_unsupported`, `person_needed`, `game_full` and
        `game_not_enrolling`.
        """
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            self._check_suggests(game)
            made, present = await queries.count_machines(connection, game_id)
            if present + count >= game.max_players > game.enrolled:
                raise conflict("person_needed", "A game needs one person at least: leave a seat.")
            changed = await queries.take_seats(connection, game_id, count, self._store.now())
            if changed is None:
                raise _refusal(game)
            machines = [self._member(changed, f"Machine {made + number}") for number in range(1, count + 1)]
            await self._store.add_members(connection, machines)
            await self._store.keep(connection, changed)

    async def remove_machines(self, account_id: UUID, game_id: UUID) -> None:
        """Have the owner take all machines out. Raise the problems 404, 403 `owner_only`, 409 `game_not_enrolling`."""
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            if game.state not in ENROLLING:
                raise _not_enrolling(game)
            machines = [each for each in await self._store.members(connection, game) if each.machine]
            if machines:
                await self._store.remove_members(connection, machines)
                await self._store.change(connection, game, after_leaving(game, len(machines)))

    def _check_suggests(self, game: Game) -> None:
        version = self._context.require(ENGINE_VERSIONS).get(game.engine_version_id)
        description = None if version is None else version.describe
        if description is None:
            message = "It is not known yet whether this engine can play: an operator checks its version first."
            raise conflict("machines_unsupported", message)
        if "suggest" not in description.get("capabilities", ()):
            raise conflict("machines_unsupported", "This engine does not suggest orders: machines cannot play it.")

    def _member(self, game: Game, name: str, account_id: UUID | None = None) -> Membership:
        return Membership(
            id=new_id(),
            game_id=game.id,
            account_id=account_id,
            seat=None,
            state="enrolled",
            name=name,
            machine=account_id is None,
            joined_at=self._store.now(),
            missed=0,
            missed_in_row=0,
            seen_turn=-1,
        )


def _refusal(game: Game) -> Problem:
    """Return why no seat could be taken."""
    if game.state not in ENROLLING:
        return _not_enrolling(game)
    free = game.max_players - game.enrolled
    return conflict("game_full", f"The game has too few free seats: {free} of {game.max_players}.")


def _not_enrolling(game: Game) -> Problem:
    return conflict("game_not_enrolling", f"The game does not take players: it is {game.state}.")


def _count(game: Game, member: Membership) -> dict[str, Any]:
    return {"player": member.name, "enrolled": game.enrolled, "max_players": game.max_players}
