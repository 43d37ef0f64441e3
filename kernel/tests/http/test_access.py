"""Who may call what (SPEC K-13)."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.http.problems import Problem
from galaxy_devkit.testing.http import GATEWAY, OPERATOR, OPERATOR_AUTH, PLAYER, SESSION, Api, make_route
from galaxy_kernel.http.access import parse_basic
from galaxy_kernel.http.call import Call
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Access


class Seen(Model):
    address: str
    request_id: str
    who: str = ""


async def anyone(call: Call) -> Seen:
    return Seen(address=call.client_address, request_id=call.request_id)


async def player(call: Call) -> Seen:
    return Seen(address=call.client_address, request_id=call.request_id, who=str(call.user.account_id))


async def operator(call: Call) -> Seen:
    return Seen(address=call.client_address, request_id=call.request_id, who=call.admin.username)


async def mistaken(call: Call) -> Seen:
    return Seen(address="", request_id="", who=call.admin.username)


ROUTES = (
    make_route(anyone, path="/api/v1/public/x", access=Access.PUBLIC),
    make_route(player, path="/api/v1/user/x", access=Access.USER),
    make_route(anyone, path="/api/v1/internal/x", access=Access.INTERNAL, name="demo.internal"),
    make_route(operator, path="/api/v1/admin/x", access=Access.ADMIN),
    make_route(mistaken, path="/api/v1/public/mistaken"),
)


@pytest.fixture
async def api(serve: Callable[..., Awaitable[Api]]) -> Api:
    """Serve one route of each access."""
    return await serve(*ROUTES)


async def test_public_needs_nothing(api: Api) -> None:
    """Public routes are open to all, with or without credentials."""
    assert (await api("GET", "/api/v1/public/x")).status == 200
    assert (await api("GET", "/api/v1/public/x", headers={"Authorization": "Bearer bad"})).status == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer bad"}, {"Authorization": "Bearer"}, {"Authorization": "Basic good-session"}],
)
async def test_user_needs_a_good_session(api: Api, headers: dict[str, str]) -> None:
    """Without a session the answer is 401 and says what to send."""
    answer = await api("GET", "/api/v1/user/x", headers=headers)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_player_is_known_to_the_handler(api: Api) -> None:
    """`call.user` is the authenticator's result; the scheme's case does not matter."""
    assert (await api("GET", "/api/v1/user/x", headers=SESSION)).json["who"] == str(PLAYER.account_id)
    assert (await api("GET", "/api/v1/user/x", headers={"Authorization": "bearer good-session"})).status == 200


@pytest.mark.parametrize("headers", [{}, {"X-Gateway-Token": "wrong"}, {"X-Gateway-Token": "ä"}, SESSION])
async def test_internal_needs_the_gateways_token(api: Api, headers: dict[str, str]) -> None:
    """Nothing but the token opens an internal route."""
    answer = await api("GET", "/api/v1/internal/x", headers=headers)
    assert (answer.status, answer.json["code"]) == (401, "gateway_token_required")
    assert (await api("GET", "/api/v1/internal/x", headers=GATEWAY)).status == 200


def basic(text: str) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    "headers", [{}, SESSION, basic("olga:wrong"), basic("olga"), basic(":x"), {"Authorization": "Basic ???"}]
)
async def test_admin_needs_an_operator(api: Api, headers: dict[str, str]) -> None:
    """Bad credentials of any form are 401, with the challenge of RFC 7617."""
    answer = await api("GET", "/api/v1/admin/x", headers=headers)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="galaxy", charset="UTF-8"'


async def test_an_operator_is_known_to_the_handler(api: Api) -> None:
    """A password may hold colons and letters beyond ASCII."""
    assert (await api("GET", "/api/v1/admin/x", headers=OPERATOR_AUTH)).json["who"] == OPERATOR.username


async def test_a_problem_of_the_authenticator_is_the_answer(serve: Callable[..., Awaitable[Api]]) -> None:
    """A locked account or a password to be changed is reported with the admin plugin's problem."""
    from galaxy_contracts.access import ADMIN_AUTHENTICATOR

    class Locked:
        async def authenticate(self, username: str, password: str, *, route: str, client_address: str) -> None:
            raise Problem(403, "password_rotation_required", f"not {route}")

    api = await serve(*ROUTES)
    api.services.offer("admin", ADMIN_AUTHENTICATOR, Locked())
    answer = await api("GET", "/api/v1/admin/x", headers=OPERATOR_AUTH)
    assert (answer.status, answer.json["code"], answer.json["detail"]) == (
        403,
        "password_rotation_required",
        "not demo.operator",
    )


@pytest.mark.parametrize(
    ("path", "opens"),
    [
        ("/api/v1/user/x", "galaxy-backend-auth"),
        ("/api/v1/admin/x", "galaxy-backend-admin"),
        ("/api/v1/internal/x", "BACKEND_GATEWAY_TOKEN"),
    ],
)
async def test_access_nobody_provides_is_closed_and_says_what_opens_it(
    serve: Callable[..., Awaitable[Api]], path: str, opens: str
) -> None:
    """A missing plugin or token closes its routes, whatever is sent: 403."""
    api = await serve(*ROUTES, closed=True)
    answer = await api("GET", path, headers=SESSION | GATEWAY)
    assert (answer.status, answer.json["code"]) == (403, "access_closed")
    assert opens in answer.json["detail"]


async def test_credentials_are_judged_before_the_body(api: Api, serve: Callable[..., Awaitable[Api]]) -> None:
    """An unauthenticated megabyte is not read: 401 comes first."""

    async def write(call: Call, body: Seen) -> None: ...

    api = await serve(make_route(write, "POST", "/api/v1/user/x", access=Access.USER))
    answer = await api("POST", "/api/v1/user/x", data=b"x" * 1_000_000)
    assert answer.status == 401


async def test_a_handler_that_asks_for_an_identity_it_has_not_fails(api: Api) -> None:
    """`call.admin` on a public route is a fault of the plugin: 500, never None."""
    assert (await api("GET", "/api/v1/public/mistaken")).status == 500


FORWARDED = {"X-Forwarded-For": "203.0.113.9, 10.0.0.1", "X-Request-Id": "abc.DEF_12-3"}


async def test_a_stranger_is_believed_neither_address_nor_request_id(api: Api) -> None:
    """Without the token and outside the trusted networks, the peer and a fresh id are used."""
    seen = (await api("GET", "/api/v1/public/x", headers=FORWARDED)).json
    assert seen["address"] == "127.0.0.1"
    assert seen["request_id"] != "abc.DEF_12-3"


async def test_the_gateway_is_believed(api: Api) -> None:
    """With the token, the leftmost address and the request id are used."""
    answer = await api("GET", "/api/v1/public/x", headers=FORWARDED | GATEWAY)
    assert answer.json["address"] == "203.0.113.9"
    assert answer.json["request_id"] == answer.headers["X-Request-Id"] == "abc.DEF_12-3"


async def test_a_trusted_proxy_is_believed(serve: Callable[..., Awaitable[Api]]) -> None:
    """A peer in BACKEND_TRUSTED_PROXIES needs no token; its own kind in the header is passed over."""
    api = await serve(*ROUTES, proxies=["127.0.0.0/8", "10.0.0.0/8"])
    assert (await api("GET", "/api/v1/public/x", headers=FORWARDED)).json["address"] == "203.0.113.9"


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::9]:4711, 10.0.0.1"], "2001:db8::9"),
        (["[2001:DB8:0::9]"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["  203.0.113.9 ,10.0.0.1"], "203.0.113.9"),
        (["203.0.113.9", "198.51.100.1"], "203.0.113.9"),
        (["203.0.113.9, 10.0.0.1", "198.51.100.1, 10.0.0.2"], "203.0.113.9"),
        ([""], "127.0.0.1"),
        (["", "203.0.113.9"], "127.0.0.1"),
        ([", 203.0.113.9"], "127.0.0.1"),
        (["unknown, 203.0.113.9"], "127.0.0.1"),
        (["203.0.113.999"], "127.0.0.1"),
        (["203.0.113.9:port"], "127.0.0.1"),
        (["[2001:db8::9, 203.0.113.9"], "127.0.0.1"),
        (["fe80::9%eth0"], "127.0.0.1"),
        (["203.0.113.9;198.51.100.1"], "127.0.0.1"),
        (["\u00b2\u00b3.0.113.9"], "127.0.0.1"),
        (["1" * 4000], "127.0.0.1"),
    ],
)
async def test_the_leftmost_address_or_the_peers(api: Api, lines: list[str], address: str) -> None:
    """The first entry of all of a trusted caller's headers counts, or the peer where that is not an address."""
    headers = [*GATEWAY.items(), *(("X-Forwarded-For", line) for line in lines)]
    assert (await api("GET", "/api/v1/public/x", headers=headers)).json["address"] == address


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["192.0.2.1, 203.0.113.9"], "203.0.113.9"),
        (["192.0.2.1", "203.0.113.9"], "203.0.113.9"),
        (["192.0.2.1, 203.0.113.9", "127.0.0.2"], "203.0.113.9"),
        (["203.0.113.9, unknown"], "127.0.0.1"),
    ],
)
async def test_behind_a_proxy_a_client_cannot_choose_its_address(
    serve: Callable[..., Awaitable[Api]], lines: list[str], address: str
) -> None:
    """What the client sent stands left of what the proxy appended, on whatever line, and counts for nothing."""
    api = await serve(*ROUTES, proxies=["127.0.0.0/8"])
    headers = [("X-Forwarded-For", line) for line in lines]
    assert (await api("GET", "/api/v1/public/x", headers=headers)).json["address"] == address


@pytest.mark.parametrize(
    ("headers", "proxies", "sees"),
    [
        ({}, [], True),
        ({"X-Forwarded-For": "203.0.113.9"}, [], False),
        ({"X-Forwarded-For": "10.0.0.1"}, [], False),
        ({"Forwarded": "for=10.0.0.1"}, [], False),
        ({"Via": "1.1 edge"}, [], False),
        ({"X-Forwarded-For": "10.0.0.1, 203.0.113.9"}, ["127.0.0.0/8"], False),
        ({"X-Forwarded-For": "203.0.113.9, 10.0.0.1"}, ["127.0.0.0/8"], True),
        ({"X-Forwarded-For": "203.0.113.9"} | GATEWAY, [], True),
        ({"X-Gateway-Token": "wrong", "Via": "1.1 edge"}, [], False),
    ],
)
async def test_details_of_checks_are_for_insiders(
    serve: Callable[..., Awaitable[Api]], headers: dict[str, str], proxies: list[str], sees: bool
) -> None:
    """The gateway's token or a private address, which an unknown proxy might only hide; others get four fields."""
    api = await serve(*ROUTES, proxies=proxies)
    check = {"name": "relay", "plugin": "mail", "state": "degraded", "since": "2030-01-01T00:00:00Z"}
    inner = {"gates": "report", "detail": "relay 192.0.2.25:587: refused"}

    async def probe() -> tuple[int, dict[str, Any]]:
        return 200, {"status": "ready", "checks": [check | inner]}

    api.server.serve_probe("/readyz", probe)
    answer = await api("GET", "/readyz", headers=headers)
    assert answer.json == {"status": "ready", "checks": [check | inner if sees else check]}


@pytest.mark.parametrize("token", ["", "wrong", GATEWAY["X-Gateway-Token"].upper(), GATEWAY["X-Gateway-Token"] + "x"])
async def test_a_wrong_token_is_believed_nothing(api: Api, token: str) -> None:
    """A token that resembles the gateway's is not trusted."""
    headers = FORWARDED | {"X-Gateway-Token": token}
    assert (await api("GET", "/api/v1/public/x", headers=headers)).json["address"] == "127.0.0.1"


async def test_only_the_peer_makes_a_proxy(serve: Callable[..., Awaitable[Api]]) -> None:
    """An address of a trusted network in the header does not make its sender trusted."""
    api = await serve(*ROUTES, proxies=["10.0.0.0/8"])
    headers = {"X-Forwarded-For": "203.0.113.9, 10.0.0.1"}
    assert (await api("GET", "/api/v1/public/x", headers=headers)).json["address"] == "127.0.0.1"


@pytest.mark.parametrize("given_id", ["short", "x" * 65, "with space", "ümlaut-id", "a;b-123456"])
async def test_a_request_id_of_another_form_is_replaced(api: Api, given_id: str) -> None:
    """Even the gateway's id must be 8 to 64 plain characters."""
    answer = await api("GET", "/api/v1/public/x", headers=GATEWAY | {"X-Request-Id": given_id})
    assert answer.headers["X-Request-Id"] != given_id


@given(st.text(max_size=40))
def test_any_authorization_header_is_credentials_or_none(header: str) -> None:
    """No header makes the parser raise."""
    assert parse_basic(header) is None or header.lower().startswith("basic ")


@given(
    st.text(st.characters(exclude_characters=":", exclude_categories=["Cc", "Cs"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cc", "Cs"])),
)
def test_basic_credentials_come_through_whole(username: str, password: str) -> None:
    """The first colon separates name and password, in UTF-8."""
    assert parse_basic(basic(f"{username}:{password}")["Authorization"]) == (username, password)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "olga",
        ":",
        ":secret",
        *(f"ol{chr(code)}ga:secret" for code in (*range(32), 127)),
        "olga:sec\nret",
        "olga:\x7f",
    ],
)
def test_basic_credentials_that_no_account_can_have(text: str) -> None:
    """Without a colon, without a name, or with a control character anywhere they are none, whatever else is right."""
    assert parse_basic(basic(text)["Authorization"]) is None


def test_basic_credentials_with_an_empty_password() -> None:
    """A name with an empty password is well formed (RFC 7617, 2): the authenticator refuses it."""
    assert parse_basic(basic("olga:")["Authorization"]) == ("olga", "")


NETWORKS = [
    ("127.0.0.0/8", None, 200),
    ("::ffff:127.0.0.0/104", None, 200),
    ("10.0.0.0/8", None, 403),
    ("10.0.0.0/8", "10.1.2.3", 200),
    ("10.0.0.0/8", "::ffff:10.1.2.3", 200),
    ("10.0.0.0/8", "192.0.2.1", 403),
    ("2001:db8::/32", "2001:db8::1", 200),
    ("2001:db8::/32", "10.1.2.3", 403),
]


@pytest.mark.parametrize(("network", "client", "status"), NETWORKS)
async def test_admin_networks_bound_who_reaches_admin(
    serve: Callable[..., Awaitable[Api]], network: str, client: str | None, status: int
) -> None:
    """Outside of BACKEND_ADMIN_NETWORKS the right password is refused; the client's address counts, not a proxy's."""
    api = await serve(*ROUTES, admin_networks=[network])
    headers = OPERATOR_AUTH | ({} if client is None else GATEWAY | {"X-Forwarded-For": client})
    answer = await api("GET", "/api/v1/admin/x", headers=headers)
    assert (answer.status, (answer.json or {}).get("code")) == (status, None if status == 200 else "network_refused")
    assert (await api("GET", "/api/v1/public/x", headers=headers)).status == 200


async def test_a_refused_network_learns_nothing_about_passwords(serve: Callable[..., Awaitable[Api]]) -> None:
    """Outside of the networks a wrong password is answered as the right one, and none is asked for."""
    api = await serve(*ROUTES, admin_networks=["10.0.0.0/8"])
    answers = [await api("GET", "/api/v1/admin/x", headers=each) for each in ({}, basic("olga:x"), OPERATOR_AUTH)]
    assert [answer.json["code"] for answer in answers] == ["network_refused"] * 3
    assert not any("WWW-Authenticate" in answer.headers for answer in answers)


async def test_a_walk_over_every_route_as_nobody_finds_only_public_ones_open(api: Api) -> None:
    """Every route but the public ones answers an anonymous caller 401."""
    for route in ROUTES:
        answer = await api(route.method, route.path)
        assert (answer.status == 401) is (route.access is not Access.PUBLIC)
