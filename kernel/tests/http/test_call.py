"""One request as its handler sees it, and answers with a status or headers of their own."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from multidict import CIMultiDict

from galaxy_contracts.access import AdminIdentity, UserIdentity
from galaxy_devkit.testing.http import make_route
from galaxy_kernel.http.call import Call, Response
from galaxy_kernel.http.route import Access

PLAYER = UserIdentity(uuid4(), uuid4(), datetime(2031, 1, 1, tzinfo=UTC))
OPERATOR = AdminIdentity(uuid4(), "olga")


async def nothing() -> None: ...


def call(access: Access = Access.PUBLIC, **who: object) -> Call:
    route = make_route(nothing, path=f"/api/v1/{access}/thing", access=access)
    return Call(route, "request-1", CIMultiDict({"X-Thing": "1"}), "192.0.2.1", **who)  # type: ignore[arg-type] # who it is


def test_who_calls_is_the_one_that_the_access_asked_for() -> None:
    """On a route for players it is the player, on one for operators the operator."""
    assert call(Access.USER, user=PLAYER).user is PLAYER
    assert call(Access.ADMIN, admin=OPERATOR).admin is OPERATOR


@pytest.mark.parametrize("access", [Access.PUBLIC, Access.INTERNAL, Access.ADMIN])
def test_a_route_without_a_player_has_none(access: Access) -> None:
    """Its author learns which route it is, and what its access is."""
    with pytest.raises(RuntimeError, match=rf"'demo.nothing'.*{access.value}"):
        _ = call(access, **({"admin": OPERATOR} if access is Access.ADMIN else {})).user


@pytest.mark.parametrize("access", [Access.PUBLIC, Access.INTERNAL, Access.USER])
def test_a_route_without_an_operator_has_none(access: Access) -> None:
    """A player is never taken for an operator."""
    with pytest.raises(RuntimeError, match=rf"'demo.nothing'.*{access.value}"):
        _ = call(access, **({"user": PLAYER} if access is Access.USER else {})).admin


def test_a_call_carries_what_the_handler_may_want() -> None:
    """Headers are found whatever their case; the target of the audit log is the handler's to fill."""
    one, other = call(), call()
    assert (one.request_id, one.client_address, one.headers["x-thing"]) == ("request-1", "192.0.2.1", "1")
    one.target["game_id"] = "7"
    assert other.target == {}


def test_an_answer_has_the_routes_status_unless_it_says_otherwise() -> None:
    """None stands for the route's own; headers of two answers are not shared."""
    assert Response(1).status is None
    assert dict(Response(1).headers) == {}
    assert (Response(1, 201, {"Location": "/x"}).status, Response(1, 201, {"Location": "/x"}).headers) == (
        201,
        {"Location": "/x"},
    )
