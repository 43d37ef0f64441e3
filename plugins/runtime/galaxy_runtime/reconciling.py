"""What to do about the difference between the engines that should be and those that are: a pure function (SPEC R-5).

`plan` is asked with the records and with what the driver observes; it never names an engine of another owner. Whoever
acts on it takes the game's lease first, observes that game once more and asks again: only an action that comes out the
same is done. External calls cannot be fenced, so every action is repeatable, and its effect is observed, never assumed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from galaxy_engine.drivers.driver import Observed

Wanted = Literal["up", "idle", "down"]

UNHEALTHY_LIMIT = timedelta(seconds=30)
"""How long an engine may be unhealthy before it is replaced."""


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What a game's record says of its engine."""

    game_id: UUID
    wanted: Wanted
    generation: int
    """The generation that should run."""
    generation_issued: int
    """The highest that was ever issued: a name above it is not of this database's making."""
    handle: str | None = None
    """The engine that was noted; None while none is."""
    address: str | None = None
    on_its_way: bool = False
    """Whether an engine may be there that is not noted yet: its launch has begun."""
    not_before: datetime | None = None
    """No launch before this: the back-off between crashes."""
    unhealthy_since: datetime | None = None
    in_hand: bool = False
    """Whether an operation or another worker holds the game's lease."""


class Remove(msgspec.Struct, frozen=True, tag="remove"):
    """Remove an engine that should not be."""

    game_id: UUID
    handle: str


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """Note that the game has no engine."""

    game_id: UUID


class Raise(msgspec.Struct, frozen=True, tag="raise"):
    """Issue generations above one that exists: the database is older than the world, as after a restore."""

    game_id: UUID
    above: int


class Adopt(msgspec.Struct, frozen=True, tag="adopt"):
    """Note an engine that runs and is the right one, once it is healthy."""

    game_id: UUID
    handle: str
    address: str | None


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Start an engine that was created and not started: launch the same generation again."""

    game_id: UUID
    generation: int


class Renew(msgspec.Struct, frozen=True, tag="renew"):
    """Note how an engine ended and issue the next generation, with back-off."""

    game_id: UUID
    generation: int
    """The one that ended."""
    handle: str | None
    """What is left of it, whose exit status and log are evidence; None when nothing is there."""
    reason: Literal["ended", "vanished", "unhealthy"]


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    """Launch the record's generation, of which nothing is there."""

    game_id: UUID
    generation: int


Action = Remove | Forget | Raise | Adopt | Start | Renew | Launch


def plan(owner: str, desired: Iterable[Desired], observed: Iterable[Observed], now: datetime) -> list[Action]:
    """Return what to do, game by game; nothing for what is as it should be or in somebody's hand."""
    records = {record.game_id: record for record in desired}
    engines = _by_game(owner, observed)
    return [
        action
        for game_id in {**records, **engines}
        for action in _plan_game(game_id, records.get(game_id), engines.get(game_id, ()), now)
    ]


def _by_game(owner: str, observed: Iterable[Observed]) -> Mapping[UUID, Sequence[Observed]]:
    """Return our own engines by game, the oldest first; those that are leaving are as good as gone."""
    ours: dict[UUID, list[Observed]] = {}
    for engine in observed:
        if engine.id.owner == owner and engine.state != "leaving":
            ours.setdefault(engine.id.game_id, []).append(engine)
    for engines in ours.values():
        engines.sort(
            key=lambda engine: (engine.id.generation, engine.started_at is None, engine.started_at, engine.handle)
        )
    return ours


def _plan_game(game_id: UUID, record: Desired | None, engines: Sequence[Observed], now: datetime) -> Iterator[Action]:
    if record is None:
        yield from (Remove(game_id, engine.handle) for engine in engines)
    elif record.in_hand:
        return
    elif record.wanted != "up":
        yield from _plan_absence(record, engines)
    elif engines and engines[-1].id.generation > record.generation_issued:
        yield Raise(game_id, engines[-1].id.generation)
    else:
        right = [engine for engine in engines if engine.id.generation == record.generation]
        yield from (Remove(game_id, engine.handle) for engine in engines if engine not in right)
        yield from _plan_presence(record, right, now)


def _plan_absence(record: Desired, engines: Sequence[Observed]) -> Iterator[Action]:
    yield from (Remove(record.game_id, engine.handle) for engine in engines)
    if not engines and (record.handle is not None or record.on_its_way):
        yield Forget(record.game_id)


def _plan_presence(record: Desired, engines: Sequence[Observed], now: datetime) -> Iterator[Action]:
    """Plan for the engines of the right generation: mostly one, and on a host with unique names never more."""
    keep = next((engine for engine in engines if engine.state == "running"), engines[0] if engines else None)
    yield from (Remove(record.game_id, engine.handle) for engine in engines if engine is not keep)
    if keep is None:
        yield from _plan_nothing(record, now)
    elif keep.state == "ended":
        yield Renew(record.game_id, record.generation, keep.handle, "ended")
    elif keep.state == "starting":
        yield Start(record.game_id, record.generation)
    elif (keep.handle, keep.address) != (record.handle, record.address):
        yield Adopt(record.game_id, keep.handle, keep.address)
    elif record.unhealthy_since is not None and now - record.unhealthy_since > UNHEALTHY_LIMIT:
        yield Renew(record.game_id, record.generation, keep.handle, "unhealthy")


def _plan_nothing(record: Desired, now: datetime) -> Iterator[Action]:
    if record.handle is not None:
        yield Renew(record.game_id, record.generation, None, "vanished")
    elif record.not_before is None or now >= record.not_before:
        yield Launch(record.game_id, record.generation)
