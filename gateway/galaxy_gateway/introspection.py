"""Asks a backend who is behind a token."""

from datetime import datetime

import msgspec
from multidict import CIMultiDict

from galaxy_chassis.http.problems import Problem
from galaxy_chassis.logs import get_logger
from galaxy_chassis.request_context import request_id
from galaxy_gateway.callers import Caller
from galaxy_gateway.forwarding.backends import Backends
from galaxy_gateway.forwarding.headers import GATEWAY_TOKEN

PATH = "/api/v1/internal/sessions/introspect"


class _Introspection(msgspec.Struct):
    active: bool
    account_id: str | None = None
    session_id: str | None = None
    expires_at: datetime | None = None


_log = get_logger("galaxy_gateway.introspection", plugin="gateway")


async def introspect(backends: Backends, gateway_token: str, token: str) -> Caller | None:
    """Return the caller behind a token, None where it is not good.

    Raise Problem when no backend answers, or none knows this gateway.
    """
    headers = CIMultiDict({GATEWAY_TOKEN: gateway_token, "Content-Type": "application/json"})
    headers["X-Request-Id"] = request_id()
    body = msgspec.json.encode({"session_token": token})
    async with backends.call("POST", PATH, headers, body, safe=True) as response:
        document = await response.read()
        if response.status != 200:
            raise _refused(response.status)
    try:
        found = msgspec.json.decode(document, type=_Introspection)
    except msgspec.MsgspecError:
        raise _unavailable("What answers as the backend is not one: see GATEWAY_BACKEND_URL.") from None
    if not found.active or found.account_id is None or found.session_id is None:
        return None
    return Caller(found.account_id, found.session_id, found.expires_at)


def _refused(status: int) -> Problem:
    _log.error("introspection_refused", status=status)
    if status in (401, 403):
        detail = "The backend does not know this gateway: GATEWAY_TOKEN and BACKEND_GATEWAY_TOKEN must be the same."
    elif status == 404:
        detail = "The backend has no sessions: install galaxy-backend-auth."
    else:
        detail = "The backend cannot say who calls just now. Try again."
    return _unavailable(detail)


def _unavailable(detail: str) -> Problem:
    return Problem(502, "backend_unreachable", detail, headers={"Retry-After": "1"})
