"""Games and memberships as every replica holds them in memory, and the words for their states. No I/O."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

GameState = Literal[
    "draft", "enrolling", "ready", "starting", "running", "paused", "finished", "cancelled", "start_failed"
]
PauseReason = Literal["owner", "operator", "engine_failed", "abandoned"]
Visibility = Literal["public", "private"]
MemberState = Literal["enrolled", "playing", "eliminated", "resigned", "removed", "replaced", "finished"]
InvitationState = Literal["pending", "accepted", "declined", "withdrawn", "expired"]

ENDED: tuple[GameState, ...] = ("finished", "cancelled")
"""States that nothing follows."""
ENROLLING: tuple[GameState, ...] = ("enrolling", "ready")
PLAYING: tuple[GameState, ...] = ("running", "paused")
LAUNCHED: tuple[GameState, ...] = ("starting", "start_failed", *PLAYING)
"""States in which seats are dealt, and the runtime has a record."""
LIVE: tuple[MemberState, ...] = ("enrolled", "playing", "eliminated")
"""States of memberships in games that have not ended."""

DEPARTED: tuple[MemberState, ...] = ("resigned", "removed", "replaced")
"""States of memberships that ended before the game: their reports are those up to then."""

OWNERS_PAUSES: tuple[PauseReason, ...] = ("owner", "abandoned")
"""Pauses that the owner may end; operators may end every one."""
MAX_PLAYERS = 1_000
DELETED_NAME = "Deleted player"
"""What others see in the place of the name of a deleted account."""


class Game(msgspec.Struct, frozen=True):
    """A game that has not ended. Nothing in it changes more than once a turn, but by what people do."""

    id: UUID
    owner_id: UUID | None
    """None: its owner's account was deleted, and nobody was there to take over; operators look after it."""
    name: str
    visibility: Visibility
    engine_version_id: UUID
    min_players: int
    max_players: int
    enrolled: int
    """Seats that are taken, by people and machines."""
    schedule: dict[str, Any]
    """As the API has it."""
    run_when_final: bool
    state: GameState
    pause_reason: PauseReason | None
    failure: str | None
    """The type of what kept it from starting, or from going on."""
    turn: int | None
    """Of the last position; None before the first."""
    next_turn_at: datetime | None
    phase: str | None
    awaiting: tuple[int, ...]
    """Seats that may order now."""
    idle_turns: int
    """Scheduled turns in a row for which nobody sent orders."""
    version: int
    """Counts changes."""
    created_at: datetime
    started_at: datetime | None
    state_changed_at: datetime
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state in ENDED

    @property
    def open(self) -> bool:
        """Whether somebody may join it."""
        return self.state == "enrolling"


class Membership(msgspec.Struct, frozen=True):
    """Somebody's part in a game that has not ended."""

    id: UUID
    game_id: UUID
    account_id: UUID | None
    """None: a machine."""
    seat: int | None
    """Dealt at the start, from 1."""
    state: MemberState
    name: str
    machine: bool
    joined_at: datetime
    missed: int
    """Scheduled turns for which orders were awaited and none came."""
    missed_in_row: int
    """Those since the last for which some came."""
    seen_turn: int
    """The newest report that was read; of a part that was vacated the last one that is its player's; -1: none."""

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE


class GameSettings(msgspec.Struct, frozen=True):
    """What is read of a game only when it is shown, changed or started."""

    options: dict[str, Any]
    policy: str
    policy_options: dict[str, Any]
    result: dict[str, Any] | None


def accounts_of(members: Iterable[Membership], *more: UUID | None, without: UUID | None = None) -> tuple[UUID, ...]:
    """Return the accounts of memberships that have one, and others, each once."""
    found = dict.fromkeys([*(member.account_id for member in members), *more])
    return tuple(account for account in found if account is not None and account != without)


def people(members: Iterable[Membership]) -> list[Membership]:
    """Return the memberships of people."""
    return [member for member in members if not member.machine]


def by_seat(members: Iterable[Membership]) -> dict[int, Membership]:
    """Return memberships by their seats, those that have one."""
    return {member.seat: member for member in members if member.seat is not None}


def after_leaving(game: Game, leaving: int = 1) -> Mapping[str, Any]:
    """Return what changes in a game that enrols when somebody gives up a seat."""
    state = "enrolling" if game.state == "ready" and leaving else game.state
    return {"enrolled": game.enrolled - leaving, "state": state}


def email_key(key: bytes, folded: str) -> bytes:
    """Return what is stored of an invited address: it finds the invitation and does not reveal the address."""
    return hmac.digest(key, folded.encode(), hashlib.sha256)


def to_json(value: Any) -> bytes:
    """Return JSON that a player sent as it goes to an engine.

    Raise ValueError for a number that is read as infinite (`1e400`), or for what is nested too deep.
    """
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("must not hold a number beyond a double's range, nor be nested too deep") from None
