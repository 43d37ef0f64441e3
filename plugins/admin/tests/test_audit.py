"""The audit log."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from galaxy_contracts.access import AUDIT_LOG, AdminIdentity

ADMINS = "/api/v1/admin/admins"


async def test_every_unsafe_request_leaves_a_row(world: Any) -> None:
    """The audit log holds who, what, on what, how it ended and the request id, refused ones included."""
    await world.rotate()
    status, _ = await world.ask("POST", ADMINS, json={"username": "ada", "password": "short"})
    assert status == 422
    await world.ask("POST", ADMINS, json={"username": "ada", "password": "made by root once"})
    _, page = await world.ask("GET", "/api/v1/admin/audit")
    rows = [(row["username"], row["action"], row["outcome"], row["status"]) for row in page["items"]]
    assert rows == [
        ("Root", "admin.create", "done", 201),
        ("Root", "admin.create", "refused", 422),
        ("Root", "admin.change_own_password", "done", 204),
    ]
    assert all(row["request_id"] for row in page["items"])
    assert [row["target"] for row in page["items"]] == [{"username": "ada"}, {"username": "ada"}, {"username": "Root"}]
    _, only = await world.ask("GET", "/api/v1/admin/audit?outcome=refused&username=root")
    assert only["total"] == 1


async def test_reads_of_personal_data_are_folded(world: Any, clock: Any) -> None:
    """One row for an operator, an action and a minute counts the reads, and lists each target once."""
    log = world.booted.kernel.services.require(AUDIT_LOG, asked_by="the test")
    ada, bob = AdminIdentity(UUID(int=1), "Ada"), AdminIdentity(UUID(int=2), "Bob")
    for target in ("7", "8", "7"):
        await log.read(ada, "user.show", {"account_id": target}, request_id="request-1")
    await log.read(ada, "user.list", {}, request_id="request-2")
    await log.read(bob, "user.show", {"account_id": "9"}, request_id="request-3")
    clock.advance(timedelta(minutes=1))
    await log.read(ada, "user.show", {"account_id": "8"}, request_id="request-4")
    rows = await world.rows("user.show")
    assert [(row.username, row.target, row.outcome, row.request_id) for row in rows] == [
        ("Ada", {"account_id": "7,8", "count": "3"}, "done", "request-1"),
        ("Bob", {"account_id": "9", "count": "1"}, "done", "request-3"),
        ("Ada", {"account_id": "8", "count": "1"}, "done", "request-4"),
    ]
    [row] = await world.rows("user.list")
    assert row.target == {"count": "1"}


async def test_a_row_of_reads_has_a_bound(world: Any) -> None:
    """Parallel reads of very many targets in one minute are one row, of bounded length, with their exact number."""
    log = world.booted.kernel.services.require(AUDIT_LOG, asked_by="the test")
    ada = AdminIdentity(UUID(int=1), "Ada")
    reads = (log.read(ada, "user.show", {"account_id": str(UUID(int=n))}, request_id="request-1") for n in range(80))
    await asyncio.gather(*reads)
    [row] = await world.rows("user.show")
    assert row.target["count"] == "80"
    assert len(row.target["account_id"]) == 2000
