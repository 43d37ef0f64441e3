"""Every unsafe request of an operator is recorded, and no other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

import pytest

from galaxy_chassis.http.problems import conflict
from galaxy_contracts.access import AUDIT_LOG, AdminIdentity
from galaxy_devkit.testing.http import OPERATOR_AUTH, SESSION, Api, make_route
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Access


class Reason(Model):
    reason: str


async def block(thing_id: int, body: Reason) -> None:
    if body.reason == "conflict":
        raise conflict("already_blocked", "It is blocked already.")
    if body.reason == "crash":
        raise RuntimeError("crash")
    if body.reason == "slow":
        await asyncio.Event().wait()


async def look(thing_id: int) -> None: ...


async def own() -> None: ...


@pytest.fixture
async def api(serve: Callable[..., Awaitable[Api]]) -> Api:
    """Serve an unsafe and a safe operation of operators, and an unsafe one of players."""
    return await serve(
        make_route(block, "POST", "/api/v1/admin/things/{thing_id}/block", access=Access.ADMIN),
        make_route(look, "GET", "/api/v1/admin/things/{thing_id}", access=Access.ADMIN),
        make_route(own, "POST", "/api/v1/user/things", access=Access.USER),
        request_timeout=0.2,
    )


@pytest.mark.parametrize(
    ("reason", "status", "outcome"),
    [("fine", 204, "done"), ("conflict", 409, "refused"), ("crash", 500, "failed"), (5, 422, "refused")],
)
async def test_the_attempt_and_its_outcome_are_recorded(api: Api, reason: object, status: int, outcome: str) -> None:
    """The row has actor, action, target and request id, then the outcome."""
    path = "/api/v1/admin/things/7/block"
    answer = await api("POST", path, json={"reason": reason}, headers=OPERATOR_AUTH)
    assert answer.status == status
    assert api.audit.lines == [
        ("begin", "olga", "demo.block", {"thing_id": "7"}, answer.headers["X-Request-Id"]),
        ("finish", outcome, status),
    ]


async def test_an_action_given_up_is_finished_as_unknown(api: Api) -> None:
    """An action past its time is answered 503 and its row is finished all the same."""
    answer = await api("POST", "/api/v1/admin/things/7/block", json={"reason": "slow"}, headers=OPERATOR_AUTH)
    assert (answer.status, answer.json["code"]) == (503, "timeout")
    assert [line[:2] for line in api.audit.lines] == [("begin", "olga"), ("finish", "unknown")]


async def test_safe_requests_and_other_callers_leave_no_trace(api: Api) -> None:
    """A GET, a player's action and an unauthenticated attempt are not recorded."""
    await api("GET", "/api/v1/admin/things/7", headers=OPERATOR_AUTH)
    await api("POST", "/api/v1/user/things", headers=SESSION)
    await api("POST", "/api/v1/admin/things/7/block", json={"reason": "fine"})
    assert api.audit.lines == []


async def test_an_attempt_that_cannot_be_recorded_is_not_made(api: Api) -> None:
    """Without a row there is no action."""
    made: list[int] = []

    class Broken:
        async def begin(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> UUID:
            raise RuntimeError("no disk")

        async def finish(self, entry: UUID, outcome: str, status: int, target: Mapping[str, str]) -> None:
            made.append(status)

    api.services.offer("admin", AUDIT_LOG, Broken())
    answer = await api("POST", "/api/v1/admin/things/7/block", json={"reason": "fine"}, headers=OPERATOR_AUTH)
    assert (answer.status, made) == (500, [])


async def test_an_outcome_that_cannot_be_recorded_changes_nothing_about_the_action(api: Api) -> None:
    """When the outcome cannot be recorded, the caller still gets the action's answer."""

    class Forgetful:
        async def begin(self, actor: AdminIdentity, action: str, target: Mapping[str, str], *, request_id: str) -> UUID:
            return UUID(int=1)

        async def finish(self, entry: UUID, outcome: str, status: int, target: Mapping[str, str]) -> None:
            raise RuntimeError("no disk")

    api.services.offer("admin", AUDIT_LOG, Forgetful())
    answer = await api("POST", "/api/v1/admin/things/7/block", json={"reason": "fine"}, headers=OPERATOR_AUTH)
    assert answer.status == 204
