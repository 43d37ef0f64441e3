"""The HTTP operations: authentication."""

from typing import Any

ADMINS = "/api/v1/admin/admins"


async def test_anonymous_and_unknown_are_401(world: Any) -> None:
    """The answer does not reveal whether a name exists."""
    async with world.booted.client.get(ADMINS) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic")
    unknown = await world.ask("GET", ADMINS, user="nobody", password="x")
    wrong = await world.ask("GET", ADMINS, password="x")
    assert unknown[0] == wrong[0] == 401
    assert {key: value for key, value in unknown[1].items() if key != "request_id"} == {
        key: value for key, value in wrong[1].items() if key != "request_id"
    }
