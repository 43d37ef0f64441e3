"""Sessions in a cookie, as a browser has them."""

import json

import pytest
from aiohttp import web
from gateway_doubles import GOOD, Front, Start

from galaxy_gateway import cookies

PAGE = "https://play.example.test"
GAMES = "/api/v1/user/games"
COOKIE = {"Cookie": f"other=1; {cookies.NAME}={GOOD}"}


async def signed_in(request: web.Request) -> web.StreamResponse:
    return web.json_response({"session_token": "the-token", "session_id": "s"}, status=201)


@pytest.fixture
async def front(start: Start) -> Front:
    """A gateway that lets one origin keep sessions in cookies."""
    return await start(cookie_origins=PAGE)


async def test_a_sign_in_puts_its_token_into_the_cookie_alone(front: Front) -> None:
    """No script can read it, and no other host or plain connection gets it."""
    front.backend.handler = signed_in
    asked = {"Origin": PAGE, cookies.ASKED_BY: "cookie"}
    status, answer, body = await front.ask("POST", cookies.SIGN_IN, json={}, headers=asked)
    assert (status, json.loads(body)) == (201, {"session_id": "s"})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-galaxy=the-token; ")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


async def test_without_the_header_the_token_is_in_the_body(front: Front) -> None:
    """Programs keep their tokens themselves."""
    front.backend.handler = signed_in
    _, answer, body = await front.ask("POST", cookies.SIGN_IN, json={}, headers={"Origin": PAGE})
    assert json.loads(body)["session_token"] == "the-token"
    assert "Set-Cookie" not in answer.headers


async def test_the_cookie_stands_for_the_bearer_token(front: Front) -> None:
    """The backend gets the token, and no cookie."""
    status, _, _ = await front.ask("GET", GAMES, headers=COOKIE)
    seen = front.backend.last.headers
    assert (status, seen["Authorization"], "Cookie" in seen) == (200, f"Bearer {GOOD}", False)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": PAGE}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example.test"}, 403),
        ({"Origin": f"{PAGE}.evil.example.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({}, 403),
    ],
)
async def test_changes_by_cookie_come_from_our_own_pages(front: Front, headers: dict[str, str], status: int) -> None:
    """A foreign page's request, to which the browser adds the cookie, is refused before it is forwarded."""
    got, _, _ = await front.ask("POST", GAMES, json={}, headers={**COOKIE, **headers})
    assert got == status
    assert bool(front.backend.requests) is (status == 200)


async def test_a_foreign_page_cannot_sign_its_visitor_in(front: Front) -> None:
    """Or the visitor would play in the attacker's account."""
    asked = {"Origin": "https://evil.example.test", cookies.ASKED_BY: "cookie"}
    status, _, body = await front.ask("POST", cookies.SIGN_IN, json={}, headers=asked)
    assert (status, json.loads(body)["code"]) == (403, "origin_refused")


async def test_a_bearer_token_needs_no_origin(front: Front) -> None:
    """A page cannot make the browser send one."""
    status, _, _ = await front.ask("POST", GAMES, json={}, headers={"Authorization": f"Bearer {GOOD}"})
    assert status == 200


async def test_the_cookie_of_an_ended_session_is_removed(front: Front) -> None:
    """The page signs in again."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "unauthenticated"}, status=401)

    front.backend.handler = refuse
    _, answer, _ = await front.ask("GET", GAMES, headers=COOKIE)
    assert answer.headers["Set-Cookie"].startswith("__Host-galaxy=; Max-Age=0; ")


async def test_without_the_setting_there_are_no_cookies(start: Start) -> None:
    """A cookie means nothing then, and a sign-in's token is in the body."""
    front = await start()
    await front.ask("GET", GAMES, headers=COOKIE)
    assert "Authorization" not in front.backend.last.headers
    front.backend.handler = signed_in
    _, answer, body = await front.ask("POST", cookies.SIGN_IN, json={}, headers={cookies.ASKED_BY: "cookie"})
    assert "session_token" in json.loads(body)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("other", ['prefs={"a":1}', "prefs=\xe9", "a b", "=", "x=1; x=2"])
async def test_other_cookies_of_the_host_may_look_as_they_like(front: Front, other: str) -> None:
    """They sign nobody out."""
    await front.ask("GET", GAMES, headers={"Cookie": f"{other}; {cookies.NAME}={GOOD}"})
    assert front.backend.last.headers["Authorization"] == f"Bearer {GOOD}"
