"""The audit of every unsafe request of an operator (SPEC, section 2)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote
from uuid import UUID

from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import AnyResponse
from galaxy_chassis.logs import get_logger
from galaxy_contracts.access import AuditLog
from galaxy_kernel.http.call import Call

_log = get_logger("galaxy_kernel.http")

_LONGEST_TARGET = 200
_FINISH_WITHIN = 5.0
"""Seconds for recording the outcome; after them the row keeps `unknown`."""
_CLIENT_GONE = 499
"""nginx's status for a client that hung up before it was answered."""

_finishing: set[asyncio.Task[None]] = set()
"""Outcomes being recorded for requests that were cancelled; asyncio itself keeps no strong reference."""


def target_of(names: list[str], segments: list[str]) -> dict[str, str]:
    """Return the path's parameters as strings fit for a row."""
    texts = (unquote(segment).replace("\0", "")[:_LONGEST_TARGET] for segment in segments)
    return dict(zip(names, texts, strict=True))


async def audited(
    log: AuditLog, call: Call, target: Mapping[str, str], action: Callable[[], Awaitable[AnyResponse]]
) -> AnyResponse:
    """Run an operator's action between two writes: the attempt, committed before it, and the outcome.

    Without a recorded attempt the action does not run. An outcome that cannot be recorded changes nothing about
    the action, which has happened: it is logged, and the row keeps `unknown`.
    """
    entry = await log.begin(call.admin, call.route.name, target, request_id=call.request_id)
    try:
        response = await action()
    except asyncio.CancelledError:
        # The time is up or the client is gone: the row is finished beside the cancelled task.
        finishing = asyncio.create_task(_finish(log, entry, _CLIENT_GONE, call))
        _finishing.add(finishing)
        finishing.add_done_callback(_finishing.discard)
        raise
    except Problem as problem:
        await _finish(log, entry, problem.status, call)
        raise
    except Exception:
        await _finish(log, entry, 500, call)
        raise
    await _finish(log, entry, response.status, call)
    return response


async def _finish(log: AuditLog, entry: UUID, status: int, call: Call) -> None:
    try:
        async with asyncio.timeout(_FINISH_WITHIN):
            await log.finish(entry, _outcome(status), status, call.target)
    except Exception as error:
        _log.error("audit_outcome_lost", entry=str(entry), status=status, error=type(error).__name__)


def _outcome(status: int) -> str:
    if status == _CLIENT_GONE:
        return "unknown"  # cancelled by us or the client, perhaps in its COMMIT: it may have happened
    if status >= 500:
        return "failed"
    return "refused" if status >= 400 else "done"
