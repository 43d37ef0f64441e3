"""What players are told (SPEC L-5): the kinds, what each carries, and submitting them with a transition."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from galaxy_contracts.mail import MailKind
from galaxy_contracts.notification import NOTIFICATIONS, Intent, NotificationKind
from galaxy_kernel.api import Connection, Context, Model, Timestamp
from galaxy_lobby.domain import Game, PauseReason
from galaxy_lobby.settings import LobbySettings

_GAME = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
_DUE = "2026-11-25T18:30:00Z"

VacatedBy = Literal["resigned", "removed", "account_deleted"]
CancelledBy = Literal["owner", "operator", "account_deleted"]
Reason = Annotated[str, StringConstraints(max_length=200)]


class Notice(Model):
    """What every kind carries: enough to say which game, and to look at it again."""

    game_id: UUID = Field(examples=[_GAME])
    game: str = Field(examples=["Andromeda"])


class Invited(Notice):
    """You are invited to a game."""

    invitation_id: UUID = Field(examples=[_GAME])
    inviter: str = Field(examples=["Ada"])
    expires_at: Timestamp = Field(examples=[_DUE])


class Joined(Notice):
    """Somebody joined a game of yours."""

    player: str = Field(examples=["Bob"])
    enrolled: int = Field(examples=[2])
    max_players: int = Field(examples=[4])


class Left(Joined):
    """Somebody is no longer in a game that has not started."""

    removed: bool = False
    """Whether its owner removed them."""


class Started(Notice):
    """A game has started."""

    next_turn_at: Timestamp | None = Field(default=None, examples=[_DUE])


class StartFailed(Notice):
    """A game could not be started."""

    failure: str = Field(examples=["image_not_found"])


class OfTurn(Notice):
    """Something about one turn."""

    turn: int = Field(examples=[7])


class Due(OfTurn):
    """A turn with its deadline."""

    next_turn_at: Timestamp | None = Field(default=None, examples=[_DUE])
    """None while the game is paused."""


class Postponed(OfTurn):
    """A deadline was moved."""

    next_turn_at: Timestamp = Field(examples=[_DUE])
    by_owner: bool = True
    reason: Reason = ""
    """Of a turn policy, or of the service; the owner needs none."""


class Paused(Notice):
    """A game stands still."""

    reason: PauseReason = Field(examples=["owner"])


class Resumed(Notice):
    """A game goes on."""

    next_turn_at: Timestamp | None = Field(default=None, examples=[_DUE])


class SeatVacant(Notice):
    """Nobody plays a seat any more."""

    seat: int = Field(examples=[2])
    player: str = Field(examples=["Bob"])
    reason: VacatedBy = Field(examples=["resigned"])


class Cancelled(Notice):
    """A game was cancelled."""

    by: CancelledBy = Field(examples=["owner"])


def _kind(name: str, summary: str, payload: type[Notice]) -> NotificationKind:
    return NotificationKind(name=f"lobby.{name}", summary=summary, payload=payload, package="galaxy_lobby")


INVITED = _kind("invited", "Somebody invited you to a game.", Invited)
JOINED = _kind("joined", "Somebody joined a game that you own.", Joined)
LEFT = _kind("left", "Somebody left a game that you own, or you were removed from one, before it started.", Left)
STARTED = _kind("started", "A game of yours has started.", Started)
START_FAILED = _kind("start_failed", "A game of yours could not be started.", StartFailed)
TURN_READY = _kind("turn_ready", "A new turn of a game awaits your orders.", Due)
TURN_MISSED = _kind("turn_missed", "A turn ran without orders of yours.", OfTurn)
DEADLINE_NEAR = _kind("deadline_near", "A turn runs soon, and you have sent no orders.", Due)
POSTPONED = _kind("postponed", "The next turn of a game of yours was moved to later.", Postponed)
PAUSED = _kind("paused", "A game of yours was paused.", Paused)
RESUMED = _kind("resumed", "A paused game of yours goes on.", Resumed)
SEAT_VACANT = _kind("seat_vacant", "A player has left a running game of yours.", SeatVacant)
ELIMINATED = _kind("eliminated", "You were eliminated from a game.", OfTurn)
FINISHED = _kind("finished", "A game of yours is over.", OfTurn)
CANCELLED = _kind("cancelled", "A game of yours was cancelled.", Cancelled)

KINDS = (
    *(INVITED, JOINED, LEFT, STARTED, START_FAILED, TURN_READY, TURN_MISSED, DEADLINE_NEAR, POSTPONED, PAUSED),
    *(RESUMED, SEAT_VACANT, ELIMINATED, FINISHED, CANCELLED),
)

INVITATION_MAIL = MailKind(
    name="lobby.invitation",
    package="galaxy_lobby",
    example={"game": "Andromeda", "inviter": "Ada", "expires_at": datetime(2030, 1, 1, tzinfo=UTC)},
)
"""The mail to an invited address that has no account: there is nobody yet who could be notified."""


class Notices:
    """Notifications to players, submitted with the transition that they report."""

    def __init__(self, context: Context[LobbySettings]) -> None:
        self._context = context

    async def tell(
        self,
        connection: Connection,
        kind: NotificationKind,
        game: Game,
        recipients: Collection[UUID],
        *,
        once: object = None,
        **payload: Any,
    ) -> None:
        """Submit a notification to accounts, as `intent_of` makes it; nothing where there are none."""
        if recipients:
            intent = intent_of(kind, game, recipients, once=once, **payload)
            await self._context.require(NOTIFICATIONS).submit(connection, intent)

    async def tell_all(self, connection: Connection, intents: Sequence[Intent]) -> None:
        """Submit several notifications, in one statement."""
        if intents:
            await self._context.require(NOTIFICATIONS).submit_many(connection, intents)


def intent_of(
    kind: NotificationKind, game: Game, recipients: Collection[UUID], *, once: object = None, **payload: Any
) -> Intent:
    """Return a notification about a game.

    `once` is what makes it one: the turn or the row that it is about; by default the game's own count of changes.
    """
    return Intent(
        kind=kind.name,
        idempotency_key=f"{game.id}:{kind.name.partition('.')[2]}:{game.version if once is None else once}",
        payload={"game_id": game.id, "game": game.name, **payload},
        recipients=tuple(recipients),
    )
