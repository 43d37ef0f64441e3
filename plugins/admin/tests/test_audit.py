"""The audit log."""

from typing import Any

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
