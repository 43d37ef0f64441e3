"""The HTTP operations."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from galaxy_contracts.access import ADMIN_AUTHENTICATOR
from galaxy_contracts.geo import COUNTRIES
from galaxy_contracts.testing import FakeAdmins, FakeCountries
from galaxy_devkit.testing import Boot, offering
from galaxy_user.plugin import UserPlugin

OWN = "/api/v1/user/account"
USERS = "/api/v1/admin/users"


async def test_shows_own_account(world: Any) -> None:
    """A player sees the account, with the address as typed."""
    account = await world.account("Ada@example.test")
    status, body = await world.ask("GET", OWN, user=account)
    assert status == 200
    assert body == {
        "id": str(account.id),
        "email": "Ada@example.test",
        "display_name": account.display_name,
        "language": "en",
        "time_zone": "UTC",
        "declared_country": None,
        "created_at": "2030-01-01T00:00:00Z",
    }


async def test_changes_only_what_was_sent(world: Any) -> None:
    """A change of one field leaves the others, here and in the next answer."""
    account = await world.account()
    status, changed = await world.ask("PATCH", OWN, user=account, json={"display_name": " Ada "})
    assert (status, changed["display_name"], changed["language"]) == (200, "Ada", "en")
    fields = {"language": "DE-at", "time_zone": "Europe/Vienna"}
    _, changed = await world.ask("PATCH", OWN, user=account, json=fields)
    assert (changed["display_name"], changed["language"], changed["time_zone"]) == ("Ada", "de-AT", "Europe/Vienna")
    assert (await world.ask("GET", OWN, user=account))[1] == changed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"display_name": None}, "display_name"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": " "}, "display_name"),
        ({"display_name": "x" * 81}, "display_name"),
        ({"display_name": "a\nb"}, "display_name"),
        ({"display_name": 1}, "display_name"),
        ({"language": None}, "language"),
        ({"language": "english"}, "language"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"email": "b@example.test"}, "email"),
    ],
)
async def test_refuses_bad_changes(world: Any, body: dict[str, Any], field: str) -> None:
    """A bad change is 422, names the field, and changes nothing."""
    account = await world.account()
    before = await world.row(account)
    status, problem = await world.ask("PATCH", OWN, user=account, json=body)
    assert (status, problem["code"]) == (422, "invalid_request")
    assert field in [fault["field"] for fault in problem["errors"]]
    assert await world.row(account) == before


async def test_deletes_own_account(world: Any) -> None:
    """A deleted account is gone for its player."""
    account = await world.account()
    assert await world.ask("DELETE", OWN, user=account) == (204, None)
    for method in ("GET", "PATCH"):
        body = {"json": {"language": "de"}} if method == "PATCH" else {}
        assert (await world.ask(method, OWN, user=account, **body))[0] == 404
    assert await world.ask("DELETE", OWN, user=account) == (204, None)


async def test_operators_list_and_search(world: Any) -> None:
    """Operators page through accounts, the newest first, and find one by its exact address or by state."""
    made = [await world.account(f"Player{number}@example.test") for number in range(3)]
    await world.ask("POST", f"{USERS}/{made[0].id}/block")
    await world.ask("DELETE", f"{USERS}/{made[1].id}")
    _, page = await world.ask("GET", USERS, params={"page_size": 2, "page": 2})
    assert (page["total"], page["page"], [item["id"] for item in page["items"]]) == (3, 2, [str(made[0].id)])

    async def found(**params: str) -> list[str]:
        return [item["id"] for item in (await world.ask("GET", USERS, params=params))[1]["items"]]

    assert await found(email="PLAYER2@example.TEST") == [str(made[2].id)]
    assert await found(email="player1@example.test") == []
    assert await found(state="blocked") == [str(made[0].id)]
    assert await found(state="deleted") == [str(made[1].id)]
    assert await found(state="active") == [str(made[2].id)]
    assert await found(state="active", email="player0@example.test") == []


async def test_search_refuses_what_is_no_address(world: Any) -> None:
    """A search for anything that is not an address names the parameter."""
    status, problem = await world.ask("GET", USERS, params={"email": "nobody"})
    assert (status, problem["errors"][0]["field"]) == (422, "email")


async def test_operators_block_and_unblock(world: Any) -> None:
    """A block is shown with its reason, a second one changes nothing, and unblocking removes both, also twice."""
    account = await world.account()
    path = f"{USERS}/{account.id}"
    for reason in ("spam", "another"):
        status, body = await world.ask("POST", f"{path}/block", json={"reason": reason})
        assert (status, body["state"], body["blocked_reason"]) == (200, "blocked", "spam")
    for _ in range(2):
        status, body = await world.ask("POST", f"{path}/unblock")
        assert (status, body["state"], body["blocked_at"], body["blocked_reason"]) == (200, "active", None, None)
    assert (await world.ask("GET", path))[1] == body | {"countries": None}
    assert (await world.ask("POST", f"{path}/block", json={"reason": None}))[1]["state"] == "blocked"


async def test_operators_see_where_an_account_was_seen(world: Any, boot: Boot) -> None:
    """Where countries are counted an account shows them, the most frequent first; elsewhere the field is null."""
    account = await world.account()
    assert (await world.ask("GET", f"{USERS}/{account.id}"))[1]["countries"] is None
    countries = FakeCountries({"192.0.2.1": "AT"})
    for address in ("198.51.100.1", "192.0.2.1", "192.0.2.1"):
        countries.count(account.id, address)
    fakes = offering("fakes", {ADMIN_AUTHENTICATOR: FakeAdmins(), COUNTRIES: countries})
    async with boot(UserPlugin, fakes, dsn=world.booted.dsn) as other:
        status, shown = await replace(world, booted=other).ask("GET", f"{USERS}/{account.id}")
    assert (status, shown["id"], shown["state"]) == (200, str(account.id), "active")
    assert [(each["country"], each["requests"]) for each in shown["countries"]] == [("AT", 2), ("ZZ", 1)]


async def test_deleted_accounts_stay_as_they_are(world: Any) -> None:
    """A deleted account shows as deleted, can be deleted again, and neither blocked nor unblocked."""
    account = await world.account()
    path = f"{USERS}/{account.id}"
    for _ in range(2):
        assert await world.ask("DELETE", path) == (204, None)
    status, body = await world.ask("GET", path)
    assert (status, body["state"], body["email"]) == (200, "deleted", None)
    for operation in ("block", "unblock"):
        status, problem = await world.ask("POST", f"{path}/{operation}")
        assert (status, problem["code"]) == (409, "account_deleted")


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/block"), ("POST", "/unblock")])
async def test_unknown_accounts(world: Any, method: str, path: str) -> None:
    """An account that never existed is 404."""
    status, problem = await world.ask(method, f"{USERS}/{uuid4()}{path}")
    assert (status, problem["code"]) == (404, "not_found")
