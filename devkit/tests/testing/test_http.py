"""Routes on a real socket for tests: who the fakes know, and what they keep."""

import pytest

from galaxy_contracts.access import AdminAuthenticator, AuditLog, UserAuthenticator
from galaxy_devkit.testing.http import (
    GATEWAY,
    OPERATOR,
    OPERATOR_AUTH,
    PLAYER,
    SESSION,
    FakeAdminAuthenticator,
    FakeAuditLog,
    FakeUserAuthenticator,
    Received,
    Serve,
    make_route,
    serving,
)
from galaxy_kernel.api import Access, Call, Model

PATHS = {Access.USER: "/api/v1/user/me", Access.ADMIN: "/api/v1/admin/me", Access.INTERNAL: "/api/v1/internal/me"}
HEADERS = {Access.USER: SESSION, Access.ADMIN: OPERATOR_AUTH, Access.INTERNAL: GATEWAY}


class Who(Model):
    """Who called."""

    name: str


async def me(call: Call) -> Who:
    if call.route.access is Access.USER:
        return Who(name=str(call.user.account_id))
    return Who(name=call.admin.username if call.route.access is Access.ADMIN else "gateway")


@pytest.mark.parametrize("access", PATHS)
async def test_each_kind_of_caller_gets_in_with_its_headers_alone(serve: Serve, access: Access) -> None:
    """The fakes know one player, one operator and one gateway."""
    api = await serve(make_route(me, path=PATHS[access], access=access))
    got = await api("GET", PATHS[access], headers=HEADERS[access])
    names = {Access.USER: str(PLAYER.account_id), Access.ADMIN: OPERATOR.username, Access.INTERNAL: "gateway"}
    assert (got.status, got.json) == (200, {"name": names[access]})
    for other in PATHS:
        if other is not access:
            assert (await api("GET", PATHS[access], headers=HEADERS[other])).status == 401


@pytest.mark.parametrize("access", PATHS)
async def test_closed_is_without_every_authenticator(access: Access) -> None:
    """A deployment that has no plugin for an access keeps it closed."""
    async with serving([make_route(me, path=PATHS[access], access=access)], closed=True) as api:
        got = await api("GET", PATHS[access], headers=HEADERS[access])
        assert (got.status, got.json["code"]) == (403, "access_closed")


async def test_the_audit_log_keeps_both_ends_in_order(serve: Serve) -> None:
    """An unsafe request of an operator has a line before its action and one after it."""

    async def remove(thing_id: int) -> None: ...

    path = "/api/v1/admin/things/{thing_id}"
    api = await serve(make_route(remove, "DELETE", path, access=Access.ADMIN))
    assert (await api("DELETE", "/api/v1/admin/things/7", headers=OPERATOR_AUTH)).status == 204
    begin, finish = api.audit.lines
    assert begin[:4] == ("begin", "olga", "demo.remove", {"thing_id": "7"})
    assert finish[:3] == ("finish", "done", 204)


async def test_an_audit_entry_ends_once(serve: Serve) -> None:
    """A second end of an entry is a fault of the caller, which the fake does not hide."""
    log = FakeAuditLog()
    entry = await log.begin(OPERATOR, "demo.remove", {}, request_id="r")
    await log.finish(entry, "done", 204, {})
    with pytest.raises(KeyError):
        await log.finish(entry, "done", 204, {})


def test_faults_are_found_by_field() -> None:
    """A test asks for the message of a field."""
    document = {"errors": [{"field": "a", "message": "is required"}, {"field": "b.0", "message": "must be a string"}]}
    assert Received(422, {}, b"", document).faults == {"a": "is required", "b.0": "must be a string"}


async def test_the_fakes_are_what_the_contracts_say() -> None:
    """mypy holds the shapes; a wrong credential gives None."""
    users: UserAuthenticator = FakeUserAuthenticator()
    admins: AdminAuthenticator = FakeAdminAuthenticator()
    audit: AuditLog = FakeAuditLog()
    assert audit is not None
    assert users.authenticate("another", client_address="192.0.2.1") is None
    assert await admins.authenticate("olga", "wrong", route="demo.me") is None
