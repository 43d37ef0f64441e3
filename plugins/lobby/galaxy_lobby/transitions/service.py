"""What owners and operators do with a game, each in one transaction with its notifications (SPEC L-3).

Each is: lock the record and the game's row, check, change row and memory, call the runtime on the same connection, tell
the players, COMMIT. Killed at any line before the COMMIT, nothing has happened: not in the runtime either, whose writes
were on this connection. Killed after it, everything has: what the runtime does next is a row of its own (an operation),
and so is every notification; memory follows from the feed. Who repeats a request that went through hears 409, with the
state that the game is in.
"""

from datetime import datetime, timedelta
from uuid import UUID

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_contracts.runtime import RUNTIME, Actor, ActorKind, Launch, Operation, SeatPlayer
from galaxy_kernel.api import Connection, Context, Problem, conflict, invalid
from galaxy_lobby import notices
from galaxy_lobby.domain import (
    ENROLLING,
    OWNERS_PAUSES,
    PLAYING,
    Game,
    Membership,
    PauseReason,
    accounts_of,
    by_seat,
    people,
)
from galaxy_lobby.games.domain import ScheduleSpec
from galaxy_lobby.memberships.service import MembershipService
from galaxy_lobby.notices import CancelledBy, Notices
from galaxy_lobby.queries import find_last_members, find_settings
from galaxy_lobby.settings import LobbySettings
from galaxy_lobby.store import GameStore
from galaxy_lobby.transitions import queries

LONGEST_EXTENSION = timedelta(days=366)
"""How far from now a turn can be put off."""


class TransitionService:
    """From a draft to the end of a game."""

    def __init__(
        self, context: Context[LobbySettings], store: GameStore, members: MembershipService, told: Notices
    ) -> None:
        self._context, self._store, self._members, self._notices = context, store, members, told

    async def open(self, account_id: UUID, game_id: UUID) -> None:
        """Let players join. Raise the problem 409 `game_not_draft`, and those of a game that is not one's own."""
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            if standing.game.state != "draft":
                raise conflict("game_not_draft", f"The game has been opened already: it is {standing.game.state}.")
            await self._store.change(connection, standing.game, {"state": "enrolling"})

    async def start(self, account_id: UUID, game_id: UUID) -> UUID:
        """Deal the seats and have the engine started; return the operation's id.

        A game that could not be started is started again with the seats it has. Raise the problems 409
        `game_not_startable` and `too_few_players`, and those of a game that is not one's own.
        """
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            if game.state == "start_failed":
                seated = await find_last_members(connection, game.id)
                if not any(each.live for each in people(seated)):
                    raise conflict("too_few_players", "Nobody is left to play the game.")
            elif game.state in ENROLLING:
                game, seated = await self._dealt(connection, game)
            else:
                raise conflict("game_not_startable", f"The game cannot be started: it is {game.state}.")
            changed = await self._store.change(connection, game, {"state": "starting", "failure": None})
            return await self._launch(connection, changed, seated)

    async def pause(self, account_id: UUID, game_id: UUID) -> None:
        """Stop a game's clock. Raise the problem 409 `game_not_running`, and those of a game that is not one's own."""
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            if standing.game.state != "running":
                raise _not_running(standing.game)
            await self._pause(connection, standing.game, "owner", by=account_id)

    async def pause_for_operator(self, game_id: UUID) -> None:
        """Stop a game's clock, so that only operators let it go on; again changes nothing, and notifies nobody.

        Raise the problems 404, 409 `game_not_running`.
        """
        async with self._context.database.transaction() as connection:
            game = await self._store.lock(connection, game_id)
            if game.state not in PLAYING:
                raise _not_running(game)
            if game.pause_reason != "operator":
                await self._pause(connection, game, "operator", by=None)

    async def resume(self, account_id: UUID, game_id: UUID) -> None:
        """Let a game go on that its owner paused, or that was abandoned.

        Raise the problems 409 `game_not_paused` and `pause_not_yours`, and those of a game that is not one's own.
        """
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            if game.state == "paused" and game.pause_reason not in OWNERS_PAUSES:
                message = f"The pause is not yours to end ({game.pause_reason}): an operator does."
                raise conflict("pause_not_yours", message)
            await self._resume(connection, game, by=account_id)

    async def resume_for_operator(self, game_id: UUID) -> None:
        """Let a game go on, whatever paused it. Raise the problems 404, 409 `game_not_paused`."""
        async with self._context.database.transaction() as connection:
            await self._resume(connection, await self._store.lock(connection, game_id), by=None)

    async def extend(self, account_id: UUID, game_id: UUID, *, until: datetime | None, by: timedelta | None) -> None:
        """Move the next turn later: until a time, or by a length.

        Raise the problems 409 `game_not_running` and `turn_running`, 422 `until` for an earlier time, and those of a
        game that is not one's own.
        """
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            game = standing.game
            if game.state != "running" or game.next_turn_at is None:
                raise _not_running(game)
            latest = self._store.now() + LONGEST_EXTENSION
            moved, field = (until, "until") if by is None else (game.next_turn_at + min(by, LONGEST_EXTENSION), "by")
            if moved is None or moved > latest or (by or LONGEST_EXTENSION) > LONGEST_EXTENSION:
                raise invalid(field, f"the next turn can be at most {LONGEST_EXTENSION.days} days away")
            next_turn_at = await self._context.require(RUNTIME).postpone(connection, game.id, moved)
            changed = await self._store.change(connection, game, {"next_turn_at": next_turn_at})
            told = await self._everybody(connection, changed, without=account_id)
            payload = {"turn": changed.turn or 0, "next_turn_at": next_turn_at}
            await self._notices.tell(connection, notices.POSTPONED, changed, told, **payload)

    async def force(self, account_id: UUID, game_id: UUID) -> UUID:
        """Have the next turn run now; return the operation's id.

        Raise the problems 409 `game_not_running`, `turn_running` and `operation_in_progress`, and those of a game that
        is not one's own.
        """
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            if standing.game.state != "running":
                raise _not_running(standing.game)
            actor = Actor(ActorKind.OWNER, account_id)
            runtime = self._context.require(RUNTIME)
            return await runtime.operate(connection, game_id, Operation.FORCE_NEXT_TURN, actor)

    async def cancel(self, account_id: UUID, game_id: UUID) -> None:
        """End a game for good. Raise the problem 409 `game_ended`, and those of a game that is not one's own."""
        async with self._store.locked(account_id, game_id, owner=True) as (connection, standing):
            await self.end(connection, standing.game, "owner", without=account_id)

    async def cancel_for_operator(self, game_id: UUID) -> None:
        """End a game for good. Raise the problems 404, 409 `game_ended`."""
        async with self._context.database.transaction() as connection:
            await self.end(connection, await self._store.lock(connection, game_id), "operator")

    async def end(self, connection: Connection, game: Game, by: CancelledBy, *, without: UUID | None = None) -> None:
        """Cancel a locked game, with the caller's transaction."""
        if game.ended:
            raise conflict("game_ended", f"The game is {game.state}.")
        told = await self._everybody(connection, game, without=without)
        now = self._store.now()
        members = await self._store.members(connection, game)
        await self._store.change_members(connection, members, state="finished", ended_at=now)
        await queries.withdraw_invitations(connection, game.id, now)
        values = {"state": "cancelled", "pause_reason": None, "next_turn_at": None, "finished_at": now}
        changed = await self._store.change(connection, game, values)
        await self._context.require(RUNTIME).end(connection, game.id)
        await self._notices.tell(connection, notices.CANCELLED, changed, told, by=by)

    async def _dealt(self, connection: Connection, game: Game) -> tuple[Game, list[Membership]]:
        """Deal a seat to every member of a game that enrols, at random; return the game and its members."""
        members = await self._store.members(connection, game)
        accounts = self._context.require(ACCOUNTS)
        gone = [
            each
            for each in people(members)
            if each.account_id is None or (found := accounts.get(each.account_id)) is None or found.deleted_at
        ]
        for member in gone:  # deleted a moment ago: its plugin has not told us yet
            game = await self._members.unseat(connection, game, member, by=None)
        members = [each for each in members if each not in gone]
        if len(members) < game.min_players or not people(members):
            least = max(game.min_players, 1)
            raise conflict("too_few_players", f"The game needs {least} players, one person at least.")
        self._context.random.shuffle(members)
        dealt = []
        for seat, member in enumerate(members, start=1):
            name = member.name if member.account_id is None else self._store.name_of(member.account_id)
            dealt += await self._store.change_members(connection, [member], state="playing", seat=seat, name=name)
        await queries.withdraw_invitations(connection, game.id, self._store.now())
        return game, dealt

    async def _launch(self, connection: Connection, game: Game, seated: list[Membership]) -> UUID:
        kept = await find_settings(connection, game.id)
        seats = sorted(by_seat(seated).items())
        launch = Launch(
            game_id=game.id,
            engine_version_id=game.engine_version_id,
            seats=tuple(SeatPlayer(seat=seat, name=each.name, machine=each.machine) for seat, each in seats),
            options=kept.options,
            schedule=ScheduleSpec(**game.schedule).schedule(),
            run_when_final=game.run_when_final,
            policy=kept.policy,
            policy_options=kept.policy_options,
        )
        runtime = self._context.require(RUNTIME)
        operation = await runtime.launch(connection, launch)
        for seat, member in seats:
            if not member.live:
                await runtime.vacate(connection, game.id, seat)
        return operation

    async def _pause(self, connection: Connection, game: Game, reason: PauseReason, *, by: UUID | None) -> None:
        """Pause a locked game, or take over a pause of less power."""
        if game.state == "running":
            await self._context.require(RUNTIME).suspend(connection, game.id)
        values = {"state": "paused", "pause_reason": reason, "next_turn_at": None}
        changed = await self._store.change(connection, game, values)
        told = await self._everybody(connection, changed, without=by)
        await self._notices.tell(connection, notices.PAUSED, changed, told, reason=reason)

    async def _resume(self, connection: Connection, game: Game, *, by: UUID | None) -> None:
        if game.state != "paused":
            raise conflict("game_not_paused", f"The game is not paused: it is {game.state}.")
        next_turn_at = await self._context.require(RUNTIME).resume(connection, game.id)
        values = {
            "state": "running",
            "pause_reason": None,
            "failure": None,
            "next_turn_at": next_turn_at,
            "idle_turns": 0,
        }
        changed = await self._store.change(connection, game, values)
        told = await self._everybody(connection, changed, without=by)
        await self._notices.tell(connection, notices.RESUMED, changed, told, next_turn_at=next_turn_at)

    async def _everybody(self, connection: Connection, game: Game, *, without: UUID | None = None) -> tuple[UUID, ...]:
        """Return the accounts that a game concerns: its members and its owner, but for who acts."""
        return accounts_of(await self._store.members(connection, game), game.owner_id, without=without)


def _not_running(game: Game) -> Problem:
    return conflict("game_not_running", f"The game is not running: it is {game.state}.")
