"""What a new position changes in a game and in who plays it. No I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from galaxy_contracts.runtime import PositionMade, Trigger
from galaxy_lobby.domain import PLAYING, Game, Membership, PauseReason

_RECEIVING = ("starting", *PLAYING)
"""States in which a game takes positions."""


class UnexpectedPositionError(Exception):
    """The runtime has made a position of a game that takes none."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a position."""

    game: Game
    """As it becomes; its `version` is counted by whoever writes it."""
    result: dict[str, Any] | None
    changed: tuple[Membership, ...]
    """Memberships as they become, those that change."""
    missed: tuple[UUID, ...] = ()
    """Accounts whose turn ran without orders of theirs."""
    ready: tuple[UUID, ...] = ()
    """Accounts that may order now, but for the one whose orders made the turn run."""
    eliminated: tuple[UUID, ...] = ()
    """Accounts that are out since this turn, in a game that goes on."""
    members: tuple[UUID, ...] = ()
    """Accounts of everybody in the game."""
    started: bool = False
    abandoned: bool = False
    """Whether it is paused with this position, since nobody has sent orders for long."""


def apply(game: Game, members: Sequence[Membership], made: PositionMade, now: datetime, abandon_after: int) -> Outcome:
    """Return what follows from a position. Raise UnexpectedPositionError."""
    if game.state not in _RECEIVING:
        raise UnexpectedPositionError(f"game {game.id} is {game.state} and takes no position (turn {made.turn})")
    after = [_member_after(game, member, made) for member in members]
    idle = _idle_after(game, members, made)
    abandoned = idle >= abandon_after and game.state == "running" and not made.finished
    state, reason = _state_after(game, made, abandoned=abandoned)
    # a game that does not run has no next turn, whatever the runtime was about to do
    next_turn_at = made.next_turn_at if state == "running" else None
    changes: dict[str, Any] = {
        "state": state,
        "pause_reason": reason,
        "state_changed_at": game.state_changed_at if state == game.state else now,
        "turn": made.turn,
        "phase": made.phase,
        "awaiting": made.awaiting,
        "next_turn_at": next_turn_at,
        "idle_turns": idle,
        "started_at": now if game.started_at is None else game.started_at,
        "finished_at": now if made.finished else None,
    }
    orders_next = [] if made.finished or abandoned else [each for each in after if each.state == "playing"]
    first = made.final_seat if made.trigger is Trigger.FINAL else None
    pairs = list(zip(members, after, strict=True))
    return Outcome(
        game=replace(game, **changes),
        result=None if made.result is None else dict(made.result),
        changed=tuple(new for old, new in pairs if new is not old),
        missed=_accounts([old for old, new in pairs if new.missed > old.missed]),
        ready=_accounts([each for each in orders_next if each.seat in made.awaiting and each.seat != first]),
        eliminated=_accounts([new for old, new in pairs if new.state == "eliminated" != old.state]),
        members=_accounts(after),
        started=game.state == "starting",
        abandoned=abandoned,
    )


def _state_after(
    game: Game, made: PositionMade, *, abandoned: bool
) -> tuple[Literal["finished", "paused", "running"], PauseReason | None]:
    if made.finished:
        return "finished", None
    if abandoned:
        return "paused", "abandoned"
    if game.state == "paused":  # the turn was running when the pause came: it counts, and nothing follows
        return "paused", game.pause_reason
    return "running", None


def _member_after(game: Game, member: Membership, made: PositionMade) -> Membership:
    changes: dict[str, Any] = {}
    if _was_awaited(game, member):
        if member.seat not in made.absent:
            changes = {"missed_in_row": 0} if member.missed_in_row else {}
        elif made.trigger is Trigger.SCHEDULED:  # a turn that was forced is nobody's fault
            changes = {"missed": member.missed + 1, "missed_in_row": member.missed_in_row + 1}
    if made.finished:
        changes["state"] = "finished"
    elif member.state == "playing" and member.seat in made.eliminated:
        changes["state"] = "eliminated"
    return replace(member, **changes) if changes else member


def _was_awaited(game: Game, member: Membership) -> bool:
    return not member.machine and member.state == "playing" and member.seat in game.awaiting


def _idle_after(game: Game, members: Sequence[Membership], made: PositionMade) -> int:
    """Return for how many scheduled turns in a row nobody has sent orders.

    A turn that awaited machines alone says nothing of people, unless there are none left in the game.
    """
    awaited = [member for member in members if _was_awaited(game, member)]
    if any(member.seat not in made.absent for member in awaited):
        return 0
    deserted = all(member.machine or member.state != "playing" for member in members)
    return game.idle_turns + (made.trigger is Trigger.SCHEDULED and (bool(awaited) or deserted))


def _accounts(members: Sequence[Membership]) -> tuple[UUID, ...]:
    return tuple(member.account_id for member in members if member.account_id is not None)
