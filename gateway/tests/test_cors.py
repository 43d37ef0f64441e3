"""Pages of other origins."""

import pytest
from gateway_doubles import Front, Start

PAGE, COOKIE_PAGE = "https://tool.example.test", "https://play.example.test"
PUBLIC = "/api/v1/public/things"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
async def front(start: Start) -> Front:
    """A gateway with a page of either kind."""
    return await start(cors_origins=PAGE, cookie_origins=COOKIE_PAGE)


async def test_a_listed_page_may_read_answers(front: Front) -> None:
    """Without credentials, which only pages with cookies get."""
    _, answer, _ = await front.ask("GET", PUBLIC, headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "RateLimit" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Origin"
    _, answer, _ = await front.ask("GET", PUBLIC, headers={"Origin": COOKIE_PAGE})
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize(
    "origin", ["https://evil.example.test", "null", f"{PAGE}.evil.test", "https://TOOL.example.test"]
)
async def test_no_other_page_may(front: Front, origin: str) -> None:
    """And no cache may mix their answers up."""
    _, answer, _ = await front.ask("GET", PUBLIC, headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Origin"
    status, answer, _ = await front.ask("OPTIONS", PUBLIC, headers={"Origin": origin, **PREFLIGHT})
    assert (status, "Access-Control-Allow-Origin" in answer.headers) == (405, False)


async def test_a_preflight_is_answered_here(front: Front) -> None:
    """The backend does not hear of it."""
    status, answer, _ = await front.ask("OPTIONS", PUBLIC, headers={"Origin": PAGE, **PREFLIGHT})
    assert (status, answer.headers["Access-Control-Max-Age"]) == (204, "7200")
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert not front.backend.requests


async def test_refusals_may_be_read_too(front: Front) -> None:
    """A page sees why its call was refused."""
    status, answer, _ = await front.ask("GET", "/api/v1/admin/users", headers={"Origin": PAGE})
    assert (status, answer.headers["Access-Control-Allow-Origin"]) == (404, PAGE)
