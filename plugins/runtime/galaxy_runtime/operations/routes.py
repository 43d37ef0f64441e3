"""The HTTP operations of operators on games' engines (SPEC R-2)."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from galaxy_contracts.runtime import Operation
from galaxy_kernel.api import Access, Call, Model, Page, Paging, Route, Timestamp
from galaxy_runtime.errors import OPERATION_IN_PROGRESS, TURN_RUNNING
from galaxy_runtime.operations.service import OperationService

_PATH = "/api/v1/admin/runtime/games"
_ONE = f"{_PATH}/{{game_id}}"
_MISSING = "404 not_found"

Status = Literal["none", "pulling", "starting", "healthy", "unhealthy", "crashed", "failed"]
Wanted = Literal["up", "idle", "down"]


class RuntimeGame(Model):
    """A game on its engine, as operators see it."""

    game_id: UUID
    engine_version_id: UUID
    image: str
    digest: str | None
    seats: dict[str, Any]
    """By number: name, and whether a machine or nobody plays it."""
    wanted: Wanted
    """`idle`: it sleeps until it is used; `down`: an operator has stopped it, or the game has ended."""
    status: Status
    generation: int
    generation_issued: int
    handle: str | None
    """What the host calls the engine."""
    address: str | None
    failure: str | None
    failure_detail: str | None
    crashes: int
    """In a row, with less than ten healthy minutes between them."""
    not_before: Timestamp | None
    """No start before this, after crashes."""
    healthy_since: Timestamp | None
    unhealthy_since: Timestamp | None
    used_at: Timestamp | None
    playing: bool
    """Whether the clock runs."""
    ended: bool
    turn: int
    phase: str | None
    awaiting: Sequence[int]
    sent: Sequence[int]
    final: Sequence[int]
    next_turn_at: Timestamp | None
    """When the turn is looked at next: its tick, or the end of a claim, or the next attempt."""
    tick_at: Timestamp | None
    """The tick that will run, as players see it."""
    due_at: Timestamp | None
    """The deadline of a turn that was begun and is not done."""
    skip_next: bool
    trigger: str
    turn_claimed_at: Timestamp | None
    turn_attempts: int
    turn_failure: str | None
    orders_closed_at: Timestamp | None
    run_when_final: bool
    policy: str
    made_at: Timestamp | None
    created_at: Timestamp
    ended_at: Timestamp | None
    request_id: str


class OperationEntry(Model):
    """One row of the operation log."""

    id: UUID
    game_id: UUID
    operation: str
    generation: int | None
    actor_kind: str
    actor_id: UUID | None
    input: dict[str, Any]
    """Of `patch`: the versions `from` and `to`."""
    step: str
    taken_up: int
    """How often another process went on with it."""
    outcome: Literal["succeeded", "failed", "rolled_back", "superseded"] | None
    """Null while it is open."""
    error_code: str | None
    error: str | None
    log_tail: str | None
    """The end of what the engine wrote; not trusted."""
    result: dict[str, Any] | None
    """Of `patch`: `same_result`, whether the new engine gives the last turn's result again."""
    started_at: Timestamp
    finished_at: Timestamp | None
    request_id: str


class GameTurn(Model):
    """A position of a game, and the run that made it: what another run of the turn is compared with."""

    turn: int
    trigger: Literal["start", "scheduled", "forced", "final"]
    due_at: Timestamp | None
    claimed_at: Timestamp | None
    """When the attempt that made it began."""
    made_at: Timestamp
    duration_ms: int | None
    """How long the engine took."""
    phase: str | None
    awaiting: Sequence[int]
    absent: Sequence[int]
    """Seats that sent nothing, as the engine was told."""
    vacant: Sequence[int]
    """Those of them that nobody plays."""
    eliminated: Sequence[int]
    finished: bool
    missed_ticks: int
    """Ticks of the schedule that were passed over, since the turn ran late."""
    state_digest: str
    """SHA-256 of the engine's state."""
    orders_digest: str | None
    """SHA-256 of the sets of orders that it was made from."""
    engine_version_id: UUID
    generation: int
    """The engine's."""
    request_id: str


class Accepted(Model):
    """An operation that was recorded, and is carried out after the answer."""

    operation_id: UUID


class Patch(Model):
    """The version to go to: the same engine, major and minor, and a higher patch."""

    engine_version_id: UUID


class RuntimeGameQuery(Paging):
    """Filters of the list."""

    status: Status | None = None
    wanted: Wanted | None = None
    ended: bool | None = None


class StopQuery(Model):
    """How to stop."""

    force: bool = False
    """Whether to overtake an operation that has been open for a minute."""


def routes(service: OperationService) -> Sequence[Route]:
    """Return the routes."""
    return (*_reading(service), *_operating(service))


def _reading(service: OperationService) -> Sequence[Route]:
    async def list_games(query: RuntimeGameQuery) -> Page[RuntimeGame]:
        """Those that were started, with their engine, clock and turn."""
        rows, total = await service.list_records(query, status=query.status, wanted=query.wanted, ended=query.ended)
        return query.page_of([RuntimeGame.model_validate(dict(row._mapping), extra="ignore") for row in rows], total)

    async def show(game_id: UUID) -> RuntimeGame:
        """Engine, clock, turn and failures, as the runtime has them."""
        return RuntimeGame.model_validate(dict((await service.show(game_id))._mapping), extra="ignore")

    async def list_operations(game_id: UUID, query: Paging) -> Page[OperationEntry]:
        """The newest first: each stands here before it is begun, and ends with an outcome."""
        rows, total = await service.list_operations(game_id, query)
        shown = [OperationEntry.model_validate(dict(row._mapping), extra="ignore") for row in rows]
        return query.page_of(shown, total)

    async def list_turns(game_id: UUID, query: Paging) -> Page[GameTurn]:
        """Its positions, the newest first, with what shows whether a turn comes to the same again."""
        rows, total = await service.list_turns(game_id, query)
        shown = [GameTurn.model_validate(dict(row._mapping), extra="ignore") for row in rows]
        return query.page_of(shown, total)

    admin = Access.ADMIN
    return (
        Route("GET", _PATH, list_games, "runtime.list", "List games on their engines.", admin),
        Route("GET", _ONE, show, "runtime.show", "Show a game on its engine.", admin, errors=(_MISSING,)),
        Route(
            "GET",
            f"{_ONE}/operations",
            list_operations,
            name="runtime.list_operations",
            summary="List a game's operations.",
            access=admin,
            errors=(_MISSING,),
        ),
        Route(
            "GET",
            f"{_ONE}/turns",
            list_turns,
            name="runtime.list_turns",
            summary="List a game's turns as they ran.",
            access=admin,
            errors=(_MISSING,),
        ),
    )


def _operating(service: OperationService) -> Sequence[Route]:
    async def ask(
        call: Call, game_id: UUID, operation: Operation, to: UUID | None = None, *, force: bool = False
    ) -> Accepted:
        made = await service.request(call.admin.admin_id, game_id, operation, to, force=force)
        return Accepted(operation_id=made)

    async def start(call: Call, game_id: UUID) -> Accepted:
        """Wants the engine up again after `stop` or after a failure; a turn that is due runs then."""
        return await ask(call, game_id, Operation.START)

    async def stop(call: Call, game_id: UUID, query: StopQuery) -> Accepted:
        """Removes the engine and keeps it away, so that no turn runs; the position is kept."""
        return await ask(call, game_id, Operation.STOP, force=query.force)

    async def restart(call: Call, game_id: UUID) -> Accepted:
        """A new engine is started beside the old one, loaded with the position, and replaces it once it is healthy."""
        return await ask(call, game_id, Operation.RESTART)

    async def patch(call: Call, game_id: UUID, body: Patch) -> Accepted:
        """Like `restart`, with another version of the same engine, major and minor, and a higher patch. What the new
        engine makes of the last turn is compared.
        """
        call.target["engine_version_id"] = str(body.engine_version_id)
        return await ask(call, game_id, Operation.PATCH, body.engine_version_id)

    async def force_next_turn(call: Call, game_id: UUID) -> Accepted:
        """The schedule stays, and its next tick does nothing. The operation ends with the turn."""
        return await ask(call, game_id, Operation.FORCE_NEXT_TURN)

    busy = f"409 {OPERATION_IN_PROGRESS}"

    def route(what: str, handler: Any, summary: str, *errors: str) -> Route:
        return Route(
            "POST",
            f"{_ONE}/{what}",
            handler,
            name=f"runtime.{what.replace('-', '_')}",
            summary=summary,
            access=Access.ADMIN,
            status=202,
            errors=(_MISSING, busy, *errors),
        )

    return (
        route("start", start, "Start a game's engine.", "409 game_not_started"),
        route("stop", stop, "Stop a game's engine until it is started."),
        route("restart", restart, "Replace a game's engine by a new one.", "409 game_not_started"),
        route(
            "patch",
            patch,
            "Move a game to a higher patch of its version.",
            "409 game_not_started",
            "409 patch_refused",
            "422 engine_version_unknown",
        ),
        route(
            "force-next-turn",
            force_next_turn,
            "Run a game's turn now.",
            "409 game_not_started",
            "409 game_not_running",
            f"409 {TURN_RUNNING}",
        ),
    )
