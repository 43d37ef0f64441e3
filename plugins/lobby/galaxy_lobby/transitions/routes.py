"""The HTTP operations of owners and operators (SPEC L-2, L-4)."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from annotated_types import Gt
from pydantic import TypeAdapter, field_validator, model_validator

from galaxy_kernel.api import Access, Call, Duration, Model, Route, Timestamp
from galaxy_lobby.domain import GameState, PauseReason
from galaxy_lobby.games.domain import Length
from galaxy_lobby.games.reading import GameReader
from galaxy_lobby.games.routes import MISSING, ONE, OWNER
from galaxy_lobby.games.views import GameView
from galaxy_lobby.transitions.service import TransitionService

ADMIN = "/api/v1/admin/games/{game_id}"
_LENGTH: TypeAdapter[timedelta] = TypeAdapter(Annotated[Duration, Gt(timedelta(0))])

_DESCRIPTIONS = {
    "open-enrolment": "By the owner. Public games are listed from now on; private ones need an invitation. It is "
    "`ready` as soon as enough seats are taken.",
    "cancel": "By the owner, at any time before its end. Its engine is removed, and its players are notified.",
    "pause": "By the owner. Players are notified.",
    "resume": "By the owner: what the owner paused, and what was paused as abandoned. Players are notified.",
}
"""Of the operations that share a handler."""


class OperationView(Model):
    """Something that was recorded, and is done after the answer."""

    operation_id: UUID
    game_id: UUID
    state: GameState
    """Of the game, as of now."""


class Extension(Model):
    """How much later the next turn runs: exactly one of the two."""

    until: Timestamp | None = None
    """The new time."""
    by: Length | None = None
    """From the time it has now, for example `12h`."""

    @field_validator("by")
    @classmethod
    def _later(cls, by: str | None) -> str | None:
        if by is not None:
            _LENGTH.validate_python(by)
        return by

    @model_validator(mode="after")
    def _one(self) -> "Extension":
        if (self.until is None) == (self.by is None):
            raise ValueError("must hold either until or by")
        return self

    @property
    def length(self) -> timedelta | None:
        """`by`, as a length of time."""
        return None if self.by is None else _LENGTH.validate_python(self.by)


class StateView(Model):
    """Where a game stands."""

    game_id: UUID
    state: GameState
    pause_reason: PauseReason | None = None


def routes(transitions: TransitionService, reader: GameReader) -> Sequence[Route]:
    """Return the routes."""
    return (*_owner_routes(transitions, reader), *_operation_routes(transitions), *_admin_routes(transitions))


def _owner_routes(transitions: TransitionService, reader: GameReader) -> Sequence[Route]:
    def acting(act: Callable[[UUID, UUID], Awaitable[None]]) -> Callable[..., Awaitable[GameView]]:
        async def handler(call: Call, game_id: UUID) -> GameView:
            await act(call.user.account_id, game_id)
            return await reader.show(call.user.account_id, game_id)

        return handler

    async def extend(call: Call, game_id: UUID, body: Extension) -> GameView:
        """By the owner, until a time or by a length; players are notified."""
        await transitions.extend(call.user.account_id, game_id, until=body.until, by=body.length)
        return await reader.show(call.user.account_id, game_id)

    def route(word: str, handler: Callable[..., Awaitable[GameView]], summary: str, *errors: str) -> Route:
        name, known = f"lobby.{word.replace('-', '_')}", (MISSING, OWNER, *errors)
        path, description = f"{ONE}/{word}", _DESCRIPTIONS.get(word, "")
        return Route("POST", path, handler, name, summary, Access.USER, errors=known, description=description)

    stopped, turns = "409 game_not_running", "409 turn_running"
    resumed = ("409 game_not_paused", "409 pause_not_yours")
    return (
        route("open-enrolment", acting(transitions.open), "Let players join.", "409 game_not_draft"),
        route("cancel", acting(transitions.cancel), "End a game for good.", "409 game_ended"),
        route("pause", acting(transitions.pause), "Stop the clock; what is left of the turn is kept.", stopped),
        route("resume", acting(transitions.resume), "Let the clock go on.", *resumed),
        route("extend", extend, "Move the next turn to later.", stopped, turns),
    )


def _operation_routes(transitions: TransitionService) -> Sequence[Route]:
    async def start(call: Call, game_id: UUID) -> OperationView:
        """By the owner, once enough seats are taken. Answers before the engine is up: the game is `starting`, then
        `running` or `start_failed`, from which it can be started again.
        """
        operation_id = await transitions.start(call.user.account_id, game_id)
        return OperationView(operation_id=operation_id, game_id=game_id, state="starting")

    async def force(call: Call, game_id: UUID) -> OperationView:
        """By the owner, whatever orders are missing. Answers before the turn has run."""
        operation_id = await transitions.force(call.user.account_id, game_id)
        return OperationView(operation_id=operation_id, game_id=game_id, state="running")

    user, busy = Access.USER, "409 operation_in_progress"
    starts = (MISSING, OWNER, "409 game_not_startable", "409 too_few_players", busy)
    forces = (MISSING, OWNER, "409 game_not_running", "409 turn_running", busy)
    summary = "Run the next turn now; the schedule stays, and its next tick does nothing."
    return (
        Route("POST", f"{ONE}/start", start, "lobby.start", "Deal the seats and start.", user, 202, errors=starts),
        Route("POST", f"{ONE}/force-next-turn", force, "lobby.force_next_turn", summary, user, 202, errors=forces),
    )


def _admin_routes(transitions: TransitionService) -> Sequence[Route]:
    async def pause(game_id: UUID) -> StateView:
        """Its players are notified. The owner cannot resume it."""
        await transitions.pause_for_operator(game_id)
        return StateView(game_id=game_id, state="paused", pause_reason="operator")

    async def resume(game_id: UUID) -> StateView:
        """The turn has what was left of it."""
        await transitions.resume_for_operator(game_id)
        return StateView(game_id=game_id, state="running")

    async def cancel(game_id: UUID) -> StateView:
        """Its engine is removed, and its players are notified. Positions and reports stay."""
        await transitions.cancel_for_operator(game_id)
        return StateView(game_id=game_id, state="cancelled")

    def route(word: str, handler: Callable[..., Awaitable[StateView]], summary: str, error: str) -> Route:
        name = f"lobby.admin_{word}"
        return Route("POST", f"{ADMIN}/{word}", handler, name, summary, Access.ADMIN, errors=(MISSING, error))

    return (
        route("pause", pause, "Pause a game so that only operators resume it.", "409 game_not_running"),
        route("resume", resume, "Let a game go on, whatever paused it.", "409 game_not_paused"),
        route("cancel", cancel, "End a game for good.", "409 game_ended"),
    )
