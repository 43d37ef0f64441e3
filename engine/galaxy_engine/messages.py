"""The contract's schemas as types: what the host sends and what engines answer.

What the host passes on without a look inside (states, orders, reports' data) is `msgspec.Raw`: a view of the bytes
that were received. Members that are absent are `UNSET` where the contract gives them no default. A test holds these
types and the contract's document together, member by member.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from galaxy_engine import limits

Seat = Annotated[int, Meta(ge=1, le=limits.SEATS)]
TurnNumber = Annotated[int, Meta(ge=0, le=limits.TURN_NUMBER)]
Seed = Annotated[str, Meta(min_length=1, max_length=limits.SEED_LENGTH)]
Slug = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
Semver = Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$")]
SeatSet = Annotated[tuple[Seat, ...], Meta(extra_json_schema={"uniqueItems": True})]
OrderSet = Annotated[tuple[Raw, ...], Meta(max_length=limits.ORDERS_COUNT)]

Capability = Literal["validate", "options", "suggest", "bundle"]


class _Message(msgspec.Struct, frozen=True):
    """Base of all messages: members that are not known are passed over, as the contract asks of both sides."""


class Refusal(_Message, frozen=True):
    """The body of a 4xx: not done, and nothing changed."""

    code: Slug | UnsetType = UNSET
    message: Annotated[str, Meta(max_length=2000)] | UnsetType = UNSET


class Players(_Message, frozen=True):
    """How many seats a game may have."""

    min: Seat
    max: Seat

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError("min is larger than max")


class Example(_Message, frozen=True, kw_only=True):
    """An opening for the conformance kit; every set must be accepted."""

    seats: Annotated[int, Meta(ge=1)]
    options: dict[str, Any] | UnsetType = UNSET
    turns: tuple[dict[str, tuple[Raw, ...]], ...]
    """For each turn: seat → its orders."""


class Describe(_Message, frozen=True, kw_only=True):
    """What an engine is."""

    contract: Literal[1]
    engine: Slug
    version: Semver
    title: Annotated[str, Meta(max_length=80)] | UnsetType = UNSET
    summary: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    players: Players
    options_schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object"})
    """JSON Schema of a game's options."""
    order_schema: dict[str, Any] | UnsetType = UNSET
    """JSON Schema of one order."""
    capabilities: Annotated[tuple[str, ...], Meta(extra_json_schema={"uniqueItems": True})] = ()
    examples: tuple[Example, ...] | UnsetType = UNSET

    def __post_init__(self) -> None:
        _unique("capabilities", self.capabilities)

    def can(self, capability: Capability) -> bool:
        """Whether the engine has the capability."""
        return capability in self.capabilities


class SeatName(_Message, frozen=True):
    """A seat of a new game and what to call its player."""

    seat: Seat
    name: Annotated[str, Meta(max_length=80)]


class Init(_Message, frozen=True):
    """A new game."""

    game_id: str
    seed: Seed
    seats: Annotated[tuple[SeatName, ...], Meta(min_length=1)]
    options: dict[str, Any]


class Snapshot(_Message, frozen=True):
    """A position to load; replaces everything the engine holds, orders included."""

    turn: TurnNumber
    state: Raw


class Orders(_Message, frozen=True):
    """A seat's set of orders; an empty set is a set."""

    turn: TurnNumber
    orders: OrderSet


class OrderError(_Message, frozen=True, kw_only=True):
    """What is wrong with one order, or, without an index, with the set as a whole."""

    index: Annotated[int, Meta(ge=0)] | None = None
    code: Slug
    message: Annotated[str, Meta(max_length=500)]


class Verdict(_Message, frozen=True):
    """What the engine says of a set."""

    accepted: bool
    errors: tuple[OrderError, ...] = ()
    forecast: Raw | UnsetType = UNSET


class Options(_Message, frozen=True):
    """What a seat may order now."""

    turn: TurnNumber
    orders: tuple[Raw, ...] | UnsetType = UNSET
    complete: bool = False
    """Whether `orders` has every legal order."""
    data: Raw | UnsetType = UNSET


class Suggest(_Message, frozen=True):
    """A request for the orders of a machine player."""

    turn: TurnNumber
    seed: Seed | UnsetType = UNSET


class Turn(_Message, frozen=True):
    """A request to adjudicate a turn."""

    turn: TurnNumber
    seed: Seed
    absent: SeatSet
    """Awaited seats that sent nothing."""
    vacant: SeatSet | UnsetType = UNSET
    """Those of `absent` whose player is gone."""
    state: Raw | UnsetType = UNSET
    """Capability `bundle`: loaded before the turn."""
    orders: Mapping[Seat, tuple[Raw, ...]] | UnsetType = UNSET
    """Capability `bundle`: in place of all that was posted."""


class Report(_Message, frozen=True):
    """What a seat, or anybody, may know of a position. `text` is not trusted, `data` not interpreted by the host."""

    text: str | UnsetType = UNSET
    data: Raw | UnsetType = UNSET


class Result(_Message, frozen=True):
    """How a game ended."""

    winners: SeatSet | UnsetType = UNSET
    ranking: tuple[tuple[Seat, ...], ...] | UnsetType = UNSET
    """Groups of equal seats, the best first."""
    scores: dict[Seat, float] | UnsetType = UNSET
    text: Annotated[str, Meta(max_length=2000)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        _unique("winners", self.winners)


class Position(_Message, frozen=True):
    """A game before its turn `turn`."""

    turn: TurnNumber
    state: Raw
    reports: dict[Seat, Raw]
    """Each a `Report`, as it was received."""
    public_report: Raw | UnsetType = UNSET
    """What anybody may know, a `Report` as it was received, or null; `spectators_report` is easier to ask."""
    awaiting: SeatSet | UnsetType = UNSET
    """Seats that may order now; `awaited` knows what its absence means."""
    phase: Annotated[str, Meta(max_length=64)] | None = None
    eliminated: SeatSet = ()
    finished: bool = False
    result: Result | None = None

    def __post_init__(self) -> None:
        _unique("awaiting", self.awaiting)
        _unique("eliminated", self.eliminated)

    @property
    def spectators_report(self) -> Raw | None:
        """The public report as it was received; None if there is none."""
        if self.public_report is UNSET or memoryview(self.public_report)[:5].tobytes() == b"null":
            return None
        return self.public_report

    def awaited(self, seats: Iterable[int]) -> tuple[int, ...]:
        """Return which of the game's seats may order now, in order: those awaited, or all that are not eliminated."""
        if self.awaiting is not UNSET:
            return tuple(sorted(self.awaiting))
        return tuple(sorted(set(seats) - set(self.eliminated)))


def _unique(member: str, values: "tuple[Any, ...] | UnsetType") -> None:
    if values is not UNSET and len(set(values)) < len(values):
        raise ValueError(f"{member} names one thing twice")
