"""Notices of failures to operators: once a day for one image or game, not a thousand times."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from galaxy_contracts.notification import NOTIFICATIONS, Audience, Channel, Intent, NotificationKind
from galaxy_contracts.runtime import Failure
from galaxy_kernel.api import Connection, Context, Model
from galaxy_runtime.settings import RuntimeSettings

_GAME = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
_PULL, _CONFIG = "runtime.image_pull_failed", "runtime.start_config_invalid"
_START, _TURN = "runtime.container_start_failed", "runtime.turn_failed"
_KINDS = {
    "image_not_found": _PULL,
    "pull_failed": _PULL,
    "start_failed": _START,
    "oom_killed": _START,
    "unhealthy": _START,
    "port_conflict": _START,
    "name_taken": _CONFIG,
    "config_invalid": _CONFIG,
}
"""By the type of failure; those of turns are `runtime.turn_failed`, those of a game's start that it could not be
started, and an unreachable host is a matter of probes."""
_OF_IMAGE = {_PULL}
_SILENT = {"host_unreachable"}


class TurnFailed(Model):
    """A turn could not be adjudicated, and its game is paused."""

    game_id: UUID = Field(examples=[_GAME])
    turn: int = Field(examples=[7])
    image: str = Field(examples=["registry.example.org/space-conquest:1.4.2"])
    failure: str = Field(examples=["engine_nondeterministic"])
    detail: str = Field(examples=["the engine gave two different answers for turn 7"])
    """The failure, in one sentence."""


TURN_FAILED = NotificationKind(
    name=_TURN,
    summary="A turn cannot be adjudicated, and its game is paused.",
    audience=Audience.OPERATORS,
    channels=(Channel.EMAIL,),
    payload=TurnFailed,
    package="galaxy_runtime",
)


class Notices:
    """Notifies operators."""

    def __init__(self, context: Context[RuntimeSettings]) -> None:
        self._context = context

    async def tell(
        self, connection: Connection, failure: Failure, *, game_id: UUID, image: str, turn: int | None, now: datetime
    ) -> None:
        """Notify operators of a failure with the caller's transaction, unless they were notified today.

        `turn`: None where the game has no position yet.
        """
        if failure.code in _SILENT:
            return
        kind = _KINDS.get(failure.code, _START if turn is None else _TURN)
        detail = failure.message[:500]
        payload: dict[str, object] = {"game_id": game_id, "image": image}
        if kind == _CONFIG:
            payload["faults"] = [detail]
        elif kind == _TURN:
            payload |= {"turn": turn, "failure": failure.code, "detail": detail}
        else:
            payload["detail"] = detail
        key = f"{failure.code}:{image if kind in _OF_IMAGE else game_id}:{now.date().isoformat()}"
        intent = Intent(kind=kind, idempotency_key=key, payload=payload)
        await self._context.require(NOTIFICATIONS).submit(connection, intent)
