"""What a command ends with when it fails: what happened, what to do next, and the exit status."""

from collections.abc import Sequence

from galaxy_client.errors import (
    GalaxyError,
    NotFoundError,
    ProblemError,
    ThrottledError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
)

FAILED, USAGE, SIGNED_OUT, UNAVAILABLE, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 4, 130, 141
_SHOWN = 20
"""Faults of fields that are shown: a set of orders may have thousands."""


class CommandError(Exception):
    """A command cannot go on."""

    def __init__(self, what: str, *next_steps: str, status: int = FAILED) -> None:
        super().__init__(what)
        self.what, self.next_steps, self.status = what, next_steps, status


_HINTS = {
    "challenge_closed": "Ask for a new code: galaxy sign-in EMAIL",
    "code_wrong": "Ask for a new code: galaxy sign-in EMAIL",
    "engine_version_deprecated": "Choose another engine version with --engine; galaxy new without it lists them.",
    "game_full": "Look for another one: galaxy games --scope open",
    "game_not_enrolling": "Look for another one: galaxy games --scope open",
    "game_not_running": "See how it stands: galaxy games",
    "machines_unsupported": "Leave --machines out, or choose another engine with --engine.",
    "options_unsupported": "The engine does not list what may be ordered: write orders after its rules.",
    "orders_changed": "They were changed elsewhere. See the stored ones: galaxy orders GAME",
    "orders_refused": "Nothing was changed. Mend these orders and send the set again.",
    "owner_only": "Ask the owner of the game to do it.",
    "too_few_players": "Wait for more to join, or invite them: galaxy invite GAME EMAIL",
    "turn_over": "Another turn is current: read its report first: galaxy report GAME",
    "turn_running": "The turn is being adjudicated: wait for the next report: galaxy watch",
    "validate_unsupported": "The engine judges orders only when they are sent: leave --check out.",
}


def explained(error: GalaxyError) -> CommandError:
    """Return how a command reports an error of the client."""
    unsure = ("It may have been done all the same: look before you repeat it.",) if error.uncertain else ()
    if isinstance(error, ThrottledError):
        wait = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
        return CommandError(error.detail, *unsure, f"Try again {wait}.", status=UNAVAILABLE)
    if isinstance(error, ProblemError):
        return _refused(error, unsure)
    if isinstance(error, TransportError):
        check = "Check the address (--server, GALAXY_SERVER) and your network, and try again."
        return CommandError(str(error), *unsure, check, status=UNAVAILABLE)
    return CommandError(str(error), *unsure)


def _refused(error: ProblemError, unsure: Sequence[str]) -> CommandError:
    if isinstance(error, UnauthorizedError) and error.code not in _HINTS:
        return CommandError("You are not signed in any more.", "Sign in again: galaxy sign-in EMAIL", status=SIGNED_OUT)
    lines = [f"  {fault.field}: {fault.message}" for fault in error.fields[:_SHOWN]]
    if len(error.fields) > _SHOWN:
        lines.append(f"  and {len(error.fields) - _SHOWN} more")
    later = isinstance(error, UnavailableError)
    step = "Try again in a moment." if later else _HINTS.get(error.code)
    if step is None and isinstance(error, NotFoundError):
        step = "See your games: galaxy games"
    steps = [*lines, *unsure, *([step] if step else [])]
    if error.status >= 500 and error.request_id:
        steps.append(f"For the operator of the server: {error.code}, request {error.request_id}")
    return CommandError(error.detail, *steps, status=UNAVAILABLE if later else FAILED)
