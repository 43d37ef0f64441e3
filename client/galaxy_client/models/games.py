"""Games, seats, invitations."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from galaxy_client.models.base import Model


class Schedule(Model, frozen=True, kw_only=True, omit_defaults=True):
    """When turns run: either `interval`, or `cron` with `time_zone`."""

    interval: str | None = None
    """The length of a turn: `1d`, `12h`, `90s`."""
    cron: str | None = None
    """Five fields: minute, hour, day of the month, month, day of the week."""
    time_zone: str | None = None
    """Name in the IANA database in which `cron` is read."""
    at_least: str | None = None
    """The shortest that a turn may last."""


class Seat(Model, frozen=True, kw_only=True):
    """A seat, or somebody who waits for the start."""

    seat: int | None = None
    """From 1; None before the start."""
    name: str
    state: str
    """`enrolled`, `playing`, `eliminated`, `resigned`, `removed`, `replaced`, `finished`."""
    machine: bool = False
    """Whether the engine plays it."""
    you: bool = False
    account_id: UUID | None = None
    """Shown to the owner of the game, and of oneself."""
    sent: bool = False
    """Whether it has orders for the current turn."""
    final: bool = False
    """Whether nobody need wait for it any more."""
    missed: int = 0
    """Turns that ran without its orders."""
    missed_in_row: int = 0
    """How many of them were the last ones; above 0, the owner may remove the player from a running game."""


class GameSummary(Model, frozen=True, kw_only=True):
    """A game, as lists show it."""

    id: UUID
    name: str
    visibility: str
    """`public` or `private`."""
    state: str
    """`draft`, `enrolling`, `ready`, `starting`, `running`, `paused`, `finished`, `cancelled`, `start_failed`."""
    pause_reason: str | None = None
    failure: str | None = None
    """What kept it from starting, or from going on."""
    turn: int | None = None
    """Of the last position, from 0; None before the first."""
    phase: str | None = None
    next_turn_at: datetime | None = None
    """When the next turn runs; None while it does not."""
    owned: bool = False
    """Whether you own it."""
    seat: int | None = None
    """Your seat."""
    my_turn: bool = False
    """Whether your orders are awaited and not final."""
    sent: bool = False
    """Whether you have orders for the current turn."""
    final: bool = False
    """Whether these are final."""
    unread: int = 0
    """Reports of yours that you have not read."""
    enrolled: int = 0
    """Seats that are taken."""
    min_players: int
    max_players: int
    run_when_final: bool = False
    schedule: Schedule
    created_at: datetime

    @property
    def ended(self) -> bool:
        """Whether nothing more happens in it."""
        return self.state in ("finished", "cancelled")


class Game(GameSummary, frozen=True, kw_only=True):
    """A game with everybody in it."""

    owner_name: str | None = None
    """None where the owner's account was deleted."""
    engine_version: str | None = None
    """As `engine@version`; None where it was removed."""
    engine_version_id: UUID
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    policy: str = "fixed"
    policy_options: dict[str, Any] = msgspec.field(default_factory=dict)
    orders_closed: bool = False
    """Whether the turn is being adjudicated."""
    awaiting: list[int] = msgspec.field(default_factory=list)
    """Seats that may order now."""
    result: dict[str, Any] | None = None
    """What the engine says of the end: `winners`, `ranking`, `scores`, `text`."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seats: list[Seat] = msgspec.field(default_factory=list)
    """By seat; before the start those who have joined, in their order."""

    def named(self, seat: int) -> str:
        """Return the name of who has a seat."""
        return next((each.name for each in self.seats if each.seat == seat), f"seat {seat}")


class Invitation(Model, frozen=True, kw_only=True):
    """An invitation of yours, to accept or decline."""

    id: UUID
    game_id: UUID
    game: str
    game_state: str
    inviter: str
    created_at: datetime
    expires_at: datetime


class MadeInvitation(Model, frozen=True, kw_only=True):
    """An invitation that you made."""

    id: UUID
    game_id: UUID
    state: str
    created_at: datetime
    expires_at: datetime


class Operation(Model, frozen=True, kw_only=True):
    """Something that was recorded, and is done after the answer."""

    operation_id: UUID
    game_id: UUID
    state: str
    """Of the game, as of now."""
