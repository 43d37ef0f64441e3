"""Requests that a foreign page makes in an operator's browser (SPEC K-13)."""

from collections.abc import Awaitable, Callable

import pytest

from galaxy_devkit.testing.http import GATEWAY_TOKEN, OPERATOR_AUTH, Api, make_route
from galaxy_kernel.http.call import Call
from galaxy_kernel.http.foreign import demands_json
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Access

PATH = "/api/v1/admin/things/7"
JSON = {"Content-Type": "application/json"}
FORM_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/plain; json"]


async def change() -> None: ...


class Reason(Model):
    text: str


@pytest.fixture
async def done() -> list[str]:
    """Return the operations that ran."""
    return []


@pytest.fixture
async def api(serve: Callable[..., Awaitable[Api]], done: list[str]) -> Api:
    """Serve operations without a body, with an optional one and with one, of every method."""

    async def bare(call: Call, thing_id: int) -> None:
        done.append(call.route.method)

    async def optional(call: Call, thing_id: int, body: Reason | None) -> None:
        done.append(call.route.method)

    async def needed(call: Call, thing_id: int, body: Reason) -> None:
        done.append(call.route.method)

    path, admin = "/api/v1/admin/things/{thing_id}", Access.ADMIN
    return await serve(
        make_route(bare, "GET", path, access=admin, name="demo.get"),
        make_route(bare, "POST", path, access=admin, name="demo.post"),
        make_route(optional, "POST", f"{path}/optional", access=admin),
        make_route(needed, "PUT", path, access=admin, name="demo.put"),
        make_route(needed, "PATCH", path, access=admin, name="demo.patch"),
        make_route(bare, "DELETE", path, access=admin, name="demo.delete"),
        make_route(bare, "POST", "/api/v1/public/things/{thing_id}", name="demo.public"),
    )


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "CROSS-SITE"},
    {"Sec-Fetch-Site": "a future value"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_foreign_page_changes_nothing(api: Api, done: list[str], method: str, headers: dict[str, str]) -> None:
    """An unsafe operation that a browser calls from another origin is 403, with the right password and type."""
    answer = await api(method, PATH, data=b'{"text": "x"}', headers=OPERATOR_AUTH | JSON | headers)
    assert (answer.status, answer.json["code"], done) == (403, "foreign_origin", [])


@pytest.mark.parametrize("line", range(2))
async def test_one_foreign_line_of_several_is_enough(api: Api, done: list[str], line: int) -> None:
    """A header that stands twice is read twice."""
    sites = ["same-origin", "same-origin"]
    sites[line] = "cross-site"
    lines = [*(OPERATOR_AUTH | JSON).items(), *(("Sec-Fetch-Site", site) for site in sites)]
    assert ((await api("POST", PATH, headers=lines)).status, done) == (403, [])


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_the_own_page_and_programs_are_served(api: Api, done: list[str], method: str) -> None:
    """A page of the same origin works, over TLS of a proxy too; a program that sends neither header does as well."""
    host = api.server.address
    own: list[dict[str, str]] = [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{host}"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": f"https://{host}"},
        {"Origin": "https://galaxy.example", "Host": "galaxy.example"},
        {"Origin": "https://Galaxy.example", "Host": "galaxy.example:443"},
    ]
    for headers in own:
        assert (await api(method, PATH, headers=OPERATOR_AUTH | JSON | headers)).status == 204, headers
    assert len(done) == len(own)


FORWARDED = [
    ({"X-Forwarded-Host": "ops.example"}, "https://ops.example", True),
    ({"X-Forwarded-Host": "ops.example"}, "http://ops.example", True),
    ({"X-Forwarded-Host": "Ops.example:443", "X-Forwarded-Proto": "https"}, "https://ops.example", True),
    ({"X-Forwarded-Host": "ops.example, inner.example"}, "https://ops.example", True),
    ({"X-Forwarded-Host": "ops.example", "X-Forwarded-Proto": "https"}, "http://ops.example", False),
    ({"X-Forwarded-Host": "ops.example"}, "https://evil.example", False),
    ({"X-Forwarded-Host": "ops.example"}, "https://ops.example.evil.example", False),
    ({"X-Forwarded-Host": ""}, "https://", False),
    ({"X-Forwarded-Host": ":443"}, "https://:443", False),
    ({}, "https://ops.example", False),
]


@pytest.mark.parametrize(("headers", "origin", "own"), FORWARDED)
async def test_what_a_trusted_proxy_says_of_the_host_is_believed(
    serve: Callable[..., Awaitable[Api]], headers: dict[str, str], origin: str, own: bool
) -> None:
    """Behind a proxy that rewrites `Host`, the origin is held against what the browser asked the proxy for."""
    route = make_route(change, "DELETE", "/api/v1/admin/thing", access=Access.ADMIN)
    sent = OPERATOR_AUTH | headers | {"Origin": origin, "Host": "backend.internal"}
    proxied = await serve(route, proxies=["127.0.0.0/8"])
    assert (await proxied("DELETE", "/api/v1/admin/thing", headers=sent)).status == (204 if own else 403)
    direct = await serve(route)
    assert (await direct("DELETE", "/api/v1/admin/thing", headers=sent)).status == 403
    by_gateway = await direct("DELETE", "/api/v1/admin/thing", headers=sent | {"X-Gateway-Token": GATEWAY_TOKEN})
    assert by_gateway.status == (204 if own else 403)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/optional"])
@pytest.mark.parametrize("content_type", FORM_TYPES)
@pytest.mark.parametrize("data", [b"", b"a=b", b"{}"])
async def test_what_a_form_can_send_is_refused_by_its_type(
    api: Api, done: list[str], path: str, content_type: str, data: bytes
) -> None:
    """A POST of any type that needs no leave of the browser is 415, with a body, with an empty one, or without."""
    answer = await api("POST", path, data=data, headers=OPERATOR_AUTH | {"Content-Type": content_type})
    assert (answer.status, answer.json["code"], done) == (415, "unsupported_media_type", [])
    answer = await api("POST", path, headers=OPERATOR_AUTH, skip_auto_headers=["Content-Type"])
    assert (answer.status, done) == (415, [])
    assert api.audit.lines[-1][:3] == ("finish", "refused", 415)


async def test_json_without_a_body_is_served(api: Api, done: list[str]) -> None:
    """An operation whose body is optional, or that has none, takes the type alone."""
    for path in (PATH, f"{PATH}/optional"):
        assert (await api("POST", path, headers=OPERATOR_AUTH | JSON)).status == 204
    assert done == ["POST", "POST"]


async def test_reading_and_other_access_are_not_concerned(api: Api) -> None:
    """A link of another site to a page of an operator works, and so does what no browser signs by itself."""
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert (await api("GET", PATH, headers=OPERATOR_AUTH | foreign)).status == 204
    assert (await api("POST", "/api/v1/public/things/7", headers=foreign)).status == 204


async def test_a_foreign_page_is_refused_before_the_password_counts(api: Api) -> None:
    """A page cannot have an operator locked out by wrong passwords: it is refused before they are read."""
    answer = await api("POST", PATH, headers={"Authorization": "Basic ???", "Sec-Fetch-Site": "cross-site"})
    assert answer.json["code"] == "foreign_origin"


def test_only_what_a_form_can_send_demands_json() -> None:
    """A POST of access `admin`, since other methods and accesses are out of a form's reach."""
    assert demands_json(make_route(change, "POST", "/api/v1/admin/thing", access=Access.ADMIN))
    assert not demands_json(make_route(change, "DELETE", "/api/v1/admin/thing", access=Access.ADMIN))
    assert not demands_json(make_route(change, "POST", "/api/v1/user/thing", access=Access.USER))
