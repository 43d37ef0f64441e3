"""The HTTP operations."""

from typing import Any
from uuid import UUID, uuid4

SUMMARY = "/api/v1/admin/geo/summary"


async def test_shows_the_countries_of_all(world: Any) -> None:
    """The summary counts accounts and requests by country, the most frequent first, and names the database."""
    first, second = uuid4(), uuid4()
    for account, address in (
        (first, "192.0.2.1"),
        (first, "192.0.2.2"),
        (second, "192.0.2.1"),
        (second, "2001:db8:1::"),
    ):
        world.countries.count(account, address)
    await world.countries.flush()
    status, body = await world.ask(SUMMARY)
    seen = "2030-01-01T00:00:00Z"
    assert status == 200
    assert body["items"] == [
        {"country": "AT", "accounts": 2, "requests": 3, "last_seen_at": seen},
        {"country": "JP", "accounts": 1, "requests": 1, "last_seen_at": seen},
    ]
    assert (body["page"], body["total"]) == (1, 2)
    assert (body["database"]["state"], body["database"]["type"]) == ("ok", "country ipvAll")
    assert body["database"]["built_at"] is not None


async def test_the_summary_has_pages(world: Any) -> None:
    """The second page continues after the first."""
    for address in ("192.0.2.1", "198.51.100.1", "203.0.113.1"):
        world.countries.count(uuid4(), address)
    await world.countries.flush()
    pages = [(await world.ask(SUMMARY, page=number, page_size=2))[1] for number in (1, 2, 3)]
    assert [[item["country"] for item in page["items"]] for page in pages] == [["AT", "DE"], ["US"], []]
    assert {page["total"] for page in pages} == {3}


async def test_shows_the_countries_of_one(world: Any, account: UUID) -> None:
    """An account's countries are listed, the most frequent first; one never seen has none."""
    path = f"/api/v1/admin/users/{account}/countries"
    assert (await world.ask(path)) == (200, {"items": [], "page": 1, "page_size": 50, "total": 0})
    for address in ("198.51.100.1", "192.0.2.1", "192.0.2.1", "10.0.0.1"):
        world.countries.count(account, address)
    await world.countries.flush()
    _, body = await world.ask(path, page_size=2)
    assert [(item["country"], item["requests"]) for item in body["items"]] == [("AT", 2), ("DE", 1)]
    assert body["total"] == 3


async def test_refuses_what_is_no_account(world: Any) -> None:
    """An id of another form is refused by name."""
    status, body = await world.ask("/api/v1/admin/users/nobody/countries")
    assert status in (404, 422)
    assert body["code"]


async def test_without_a_database_the_summary_says_so(make_world: Any, account: UUID) -> None:
    """Without a file everything is counted as ZZ, and the summary names the variable to set."""
    world = await make_world()
    world.countries.count(account, "192.0.2.1")
    await world.countries.flush()
    _, body = await world.ask(SUMMARY)
    assert [item["country"] for item in body["items"]] == ["ZZ"]
    assert (body["database"]["state"], body["database"]["type"], body["database"]["built_at"]) == (
        "degraded",
        None,
        None,
    )
    assert "BACKEND_GEOIP_DB_PATH" in body["database"]["detail"]
