"""What people see of games. The answer to "who may know what of whom" is in this file alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from galaxy_contracts.engines import ENGINE_VERSIONS
from galaxy_contracts.runtime import RUNTIME, GameStatus
from galaxy_kernel.api import Context, Model, Timestamp
from galaxy_lobby.domain import (
    DEPARTED,
    Game,
    GameSettings,
    GameState,
    Membership,
    MemberState,
    PauseReason,
    Visibility,
)
from galaxy_lobby.games.domain import ScheduleSpec
from galaxy_lobby.settings import LobbySettings

_NOBODY = GameStatus(turn=-1, awaiting=(), orders_closed=False, phase=None, next_turn_at=None)


class SeatView(Model):
    """A seat, or somebody who waits for the start."""

    seat: int | None
    """From 1; null before the start."""
    name: str
    state: MemberState
    machine: bool
    """Whether the engine plays it."""
    you: bool
    account_id: UUID | None
    """Shown to the owner of the game, and of oneself."""
    sent: bool
    """Whether it has orders for the current turn."""
    final: bool
    """Whether nobody need wait for it any more."""
    missed: int
    """Turns that ran without its orders."""
    missed_in_row: int
    """How many of them were the last ones; above 0, the owner may remove the player from a running game."""


class GameSummary(Model):
    """A game, as lists show it."""

    id: UUID
    name: str
    visibility: Visibility
    state: GameState
    pause_reason: PauseReason | None
    failure: str | None
    """What kept it from starting, or from going on."""
    turn: int | None
    """Of the last position, from 0; null before the first."""
    phase: str | None
    next_turn_at: Timestamp | None
    """When the next turn runs; null while it does not."""
    owned: bool
    """Whether you own it."""
    seat: int | None
    """Your seat."""
    my_turn: bool
    """Whether your orders are awaited and not final."""
    sent: bool
    """Whether you have orders for the current turn."""
    final: bool
    """Whether these are final."""
    unread: int
    """Reports of yours that you have not read."""
    enrolled: int
    """Seats that are taken."""
    min_players: int
    max_players: int
    run_when_final: bool
    schedule: ScheduleSpec
    created_at: Timestamp


class GameView(GameSummary):
    """A game."""

    owner_name: str | None
    """Null where the owner's account was deleted."""
    engine_version: str | None
    """As `engine@version`; null where it was removed."""
    engine_version_id: UUID
    options: dict[str, Any]
    policy: str
    policy_options: dict[str, Any]
    orders_closed: bool
    """Whether the turn is being adjudicated."""
    awaiting: list[int]
    """Seats that may order now."""
    result: dict[str, Any] | None
    """What the engine says of the end."""
    started_at: Timestamp | None
    finished_at: Timestamp | None
    seats: list[SeatView]
    """By seat; before the start those who have joined, in their order."""


class PublicSeatView(Model):
    """A seat, or somebody who waits for the start, as everybody sees them."""

    seat: int | None
    """From 1; null before the start."""
    name: str
    state: MemberState
    machine: bool
    """Whether the engine plays it."""


class PublicGameView(Model):
    """A public game, as everybody sees it."""

    id: UUID
    name: str
    state: GameState
    turn: int | None
    """Of the last position, from 0; null before the first."""
    phase: str | None
    next_turn_at: Timestamp | None
    """When the next turn runs; null while it does not."""
    enrolled: int
    """Seats that are taken."""
    max_players: int
    engine_version: str | None
    """As `engine@version`; null where it was removed."""
    result: dict[str, Any] | None
    """What the engine says of the end."""
    started_at: Timestamp | None
    finished_at: Timestamp | None
    seats: list[PublicSeatView]
    """By seat; before the start those who have joined, in their order."""


class GameViews:
    """Shows games to accounts, and public ones to everybody."""

    def __init__(self, context: Context[LobbySettings]) -> None:
        self._context = context

    def summary(self, account_id: UUID, game: Game, member: Membership | None) -> GameSummary:
        """Return a game as lists show it, from memory."""
        return GameSummary(**self._own_part(account_id, game, member, self._status(game)))

    def full(
        self, account_id: UUID, game: Game, members: Sequence[Membership], kept: GameSettings, owner_name: str | None
    ) -> GameView:
        """Return a game with everybody in it."""
        status = self._status(game)
        own = next((each for each in members if each.account_id == account_id), None)
        version = self._context.require(ENGINE_VERSIONS).get(game.engine_version_id)
        return GameView(
            **self._own_part(account_id, game, own, status),
            owner_name=owner_name,
            engine_version=None if version is None else version.name,
            engine_version_id=game.engine_version_id,
            options=kept.options,
            policy=kept.policy,
            policy_options=kept.policy_options,
            orders_closed=status.orders_closed,
            awaiting=list(status.awaiting),
            result=kept.result,
            started_at=game.started_at,
            finished_at=game.finished_at,
            seats=[_seat(account_id, game, each, status) for each in members],
        )

    def public(self, game: Game, members: Sequence[Membership], result: dict[str, Any] | None) -> PublicGameView:
        """Return a public game as people see it who are not signed in."""
        status = self._status(game)
        version = self._context.require(ENGINE_VERSIONS).get(game.engine_version_id)
        return PublicGameView(
            id=game.id,
            name=game.name,
            state=game.state,
            turn=game.turn,
            phase=game.phase,
            next_turn_at=_next_turn_at(game, status),
            enrolled=game.enrolled,
            max_players=game.max_players,
            engine_version=None if version is None else version.name,
            result=result,
            started_at=game.started_at,
            finished_at=game.finished_at,
            seats=[_public_seat(each) for each in members],
        )

    def _status(self, game: Game) -> GameStatus:
        """Return what the runtime has in memory of a game, or what we have of it."""
        found = None if game.turn is None or game.ended else self._context.require(RUNTIME).status(game.id)
        if found is not None:
            return found
        return _NOBODY if game.ended else _with_awaiting(game.awaiting)

    def _own_part(self, account_id: UUID, game: Game, member: Membership | None, status: GameStatus) -> dict[str, Any]:
        seat = None if member is None else member.seat
        playing = member is not None and member.state == "playing"
        final = seat in status.final
        reads = member is not None and seat is not None and member.state not in DEPARTED
        unread = max(0, game.turn - member.seen_turn) if member and reads and game.turn is not None else 0
        return {
            "id": game.id,
            "name": game.name,
            "visibility": game.visibility,
            "state": game.state,
            "pause_reason": game.pause_reason,
            "failure": game.failure,
            "turn": game.turn,
            "phase": game.phase,
            "next_turn_at": _next_turn_at(game, status),
            "owned": game.owner_id == account_id,
            "seat": seat,
            "my_turn": playing and seat in status.awaiting and not final,
            "sent": playing and seat in status.sent,
            "final": playing and final,
            "unread": unread,
            "enrolled": game.enrolled,
            "min_players": game.min_players,
            "max_players": game.max_players,
            "run_when_final": game.run_when_final,
            "schedule": ScheduleSpec(**game.schedule),
            "created_at": game.created_at,
        }


def _next_turn_at(game: Game, status: GameStatus) -> datetime | None:
    """Return when the next turn runs: the runtime knows of ticks that are passed over."""
    if game.state == "running" and status.turn == game.turn:
        return status.next_turn_at
    return game.next_turn_at


def _with_awaiting(awaiting: tuple[int, ...]) -> GameStatus:
    return GameStatus(turn=-1, awaiting=awaiting, orders_closed=False, phase=None, next_turn_at=None)


def _public_seat(member: Membership) -> PublicSeatView:
    return PublicSeatView(seat=member.seat, name=member.name, state=member.state, machine=member.machine)


def _seat(account_id: UUID, game: Game, member: Membership, status: GameStatus) -> SeatView:
    own = member.account_id == account_id
    by_machine = member.machine and member.seat in status.awaiting
    return SeatView(
        seat=member.seat,
        name=member.name,
        state=member.state,
        machine=member.machine,
        you=own,
        account_id=member.account_id if own or game.owner_id == account_id else None,
        sent=by_machine or member.seat in status.sent,
        final=by_machine or member.seat in status.final,
        missed=member.missed,
        missed_in_row=member.missed_in_row,
    )
