"""One operation, compiled: who calls, what was sent, and what is made of the handler's value."""

from typing import Any

import pytest
from aiohttp.web import Response as AiohttpResponse
from aiohttp.web import StreamResponse
from structlog.testing import capture_logs

from galaxy_devkit.testing.http import GATEWAY, OPERATOR_AUTH, SESSION, Api, Serve, make_route
from galaxy_kernel.http.call import Call, Html, Response
from galaxy_kernel.http.model import Model, Page, Paging
from galaxy_kernel.http.route import Access

PATH = "/api/v1/public/thing"


class Thing(Model):
    """What is sent and answered."""

    name: str


class Other(Model):
    """What is not declared."""

    name: str


HEADERS: dict[Access, dict[str, str]] = {
    Access.PUBLIC: {},
    Access.USER: SESSION,
    Access.ADMIN: OPERATOR_AUTH | {"Content-Type": "application/json"},
    Access.INTERNAL: GATEWAY,
}


@pytest.mark.parametrize("access", HEADERS)
async def test_who_calls_is_established_before_anything_is_read(serve: Serve, access: Access) -> None:
    """A stranger learns nothing of the operation: neither that its body is wrong nor that its path is."""
    ran: list[Call] = []

    async def take(call: Call, number: int, body: Thing) -> None:
        ran.append(call)

    path = f"/api/v1/{access}/things/{{number}}"
    api = await serve(make_route(take, "POST", path, access=access))
    wrong = path.replace("{number}", "x")
    if access is not Access.PUBLIC:
        assert (await api("POST", wrong, data=b"{")).status == 401
    assert (await api("POST", wrong, data=b"{", headers=HEADERS[access])).status in (400, 422)
    assert ran == []
    got = await api("POST", path.replace("{number}", "7"), json={"name": "n"}, headers=HEADERS[access])
    assert got.status == 204
    assert len(ran) == 1


@pytest.mark.parametrize(("method", "lines"), [("GET", 0), ("POST", 2), ("PUT", 2), ("PATCH", 2), ("DELETE", 2)])
async def test_every_unsafe_request_of_an_operator_is_audited(serve: Serve, method: str, lines: int) -> None:
    """Reading leaves no trace; whatever may change something does."""

    async def act() -> None: ...

    api = await serve(make_route(act, method, "/api/v1/admin/thing", access=Access.ADMIN))
    assert (await api(method, "/api/v1/admin/thing", headers=HEADERS[Access.ADMIN])).status == 204
    assert len(api.audit.lines) == lines


async def test_reads_of_personal_data_are_recorded_first(serve: Serve) -> None:
    """A GET that is marked is recorded before it runs, with its target; without that record nothing is shown."""
    shown: list[str] = []

    async def show(thing: str) -> None:
        shown.append(thing)

    path = "/api/v1/admin/things/{thing}"
    api = await serve(make_route(show, "GET", path, access=Access.ADMIN, personal=True))
    assert (await api("GET", "/api/v1/admin/things/7", headers=OPERATOR_AUTH)).status == 204
    assert [line[:4] for line in api.audit.lines] == [("read", "olga", "demo.show", {"thing": "7"})]
    assert (await api("GET", "/api/v1/admin/things/8")).status == 401

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no log today")

    api.audit.read = fail  # type: ignore[method-assign]
    assert (await api("GET", "/api/v1/admin/things/9", headers=OPERATOR_AUTH)).status == 500
    assert shown == ["7"]


async def test_nobody_elses_request_is_audited(serve: Serve) -> None:
    """Players and the gateway have logs of their own."""

    async def act() -> None: ...

    for access in (Access.USER, Access.INTERNAL, Access.PUBLIC):
        api = await serve(make_route(act, "POST", f"/api/v1/{access}/thing", access=access))
        assert (await api("POST", f"/api/v1/{access}/thing", headers=HEADERS[access])).status == 204
        assert api.audit.lines == []


async def answered(serve: Serve, handler: Any, **options: Any) -> tuple[Any, Api]:
    api = await serve(make_route(handler, **options))
    return await api("GET", PATH), api


async def test_values_are_written_by_what_is_declared(serve: Serve) -> None:
    """A model, a page that is not parameterised, a list, and nothing."""

    async def model() -> Thing:
        return Thing(name="n")

    async def page() -> Page[Thing]:
        return Paging().page_of([Thing(name="n")], 1)

    async def several() -> list[Thing]:
        return [Thing(name="n")]

    async def nothing() -> None: ...

    assert (await answered(serve, model))[0].json == {"name": "n"}
    assert (await answered(serve, page))[0].json["items"] == [{"name": "n"}]
    assert (await answered(serve, several))[0].json == [{"name": "n"}]
    got, _ = await answered(serve, nothing, status=201)
    assert (got.status, got.body) == (204, b"")


async def test_the_status_is_the_answers_or_the_routes(serve: Serve) -> None:
    """Headers go along, with a body or without one."""

    async def made() -> Response[Thing]:
        return Response(Thing(name="n"), headers={"Location": "/x"})

    async def accepted() -> Response[Thing]:
        return Response(Thing(name="n"), 202)

    async def nothing() -> Response[None]:
        return Response(None, headers={"Location": "/x"})

    got, _ = await answered(serve, made, status=201)
    assert (got.status, got.headers["Location"], got.json) == (201, "/x", {"name": "n"})
    assert (await answered(serve, accepted, status=201))[0].status == 202
    got, _ = await answered(serve, nothing)
    assert (got.status, got.headers["Location"]) == (204, "/x")


async def test_a_response_of_the_handlers_own_is_sent(serve: Serve) -> None:
    """A stream is not looked into."""

    async def stream() -> StreamResponse:
        return AiohttpResponse(text="as it is", status=206)

    got, _ = await answered(serve, stream)
    assert (got.status, got.body) == (206, b"as it is")


async def test_a_page_is_sent_as_html(serve: Serve) -> None:
    """With the status and the headers of its answer."""

    async def page() -> Response[Html]:
        return Response(Html("<!doctype html><p>ä</p>"), 404, {"Content-Security-Policy": "default-src 'none'"})

    got, _ = await answered(serve, page)
    assert (got.status, got.body.decode()) == (404, "<!doctype html><p>ä</p>")
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert got.headers["Content-Security-Policy"] == "default-src 'none'"


async def wrong_model() -> Thing:
    return Other(name="secret")  # type: ignore[return-value] # that is the fault


async def wrong_dict() -> Thing:
    return {"name": "secret"}  # type: ignore[return-value] # as above


async def wrong_nothing() -> None:
    return Thing(name="secret")  # type: ignore[return-value] # as above


async def wrong_list() -> list[Thing]:
    return [{"name": 7, "more": "secret"}]  # type: ignore[list-item] # as above


@pytest.mark.parametrize("handler", [wrong_model, wrong_dict, wrong_nothing, wrong_list])
async def test_a_value_that_was_not_declared_is_not_sent(serve: Serve, handler: Any) -> None:
    """It may hold what its model would have left out; the log names the route."""
    with capture_logs() as lines:
        got, _ = await answered(serve, handler)
    assert (got.status, got.json["code"]) == (500, "internal")
    assert b"secret" not in got.body
    (failed,) = [line for line in lines if line["event"] == "request_failed"]
    assert failed["route"] == f"demo.{handler.__name__}"
    assert failed["plugin"] == "demo"


async def test_a_query_where_none_is_declared_is_refused(serve: Serve) -> None:
    """A misspelt parameter never passes for one that was heeded."""

    async def model() -> Thing:
        return Thing(name="n")

    api = await serve(make_route(model))
    got = await api("GET", PATH + "?page=2")
    assert (got.status, list(got.faults)) == (422, ["page"])


async def test_every_bad_parameter_of_a_path_is_named_at_once(serve: Serve) -> None:
    """The handler is not run."""

    async def show(one: int, two: int) -> None:
        raise AssertionError

    api = await serve(make_route(show, path="/api/v1/public/{one}/{two}"))
    got = await api("GET", "/api/v1/public/x/y")
    assert (got.status, sorted(got.faults)) == (422, ["one", "two"])


@pytest.mark.parametrize(("limit", "status"), [(None, 413), (4096, 204)])
async def test_a_route_may_have_a_limit_of_its_own(serve: Serve, limit: int | None, status: int) -> None:
    """It goes before the service's."""

    async def take(body: Thing) -> None: ...

    api = await serve(make_route(take, "POST", max_body=limit), max_body=1024)
    assert (await api("POST", PATH, json={"name": "x" * 2000})).status == status


async def test_an_optional_body_may_be_absent_and_not_empty(serve: Serve) -> None:
    """No bytes are None; an empty object is one that lacks its fields."""
    seen: list[Thing | None] = []

    async def take(body: Thing | None) -> None:
        seen.append(body)

    api = await serve(make_route(take, "POST"))
    assert (await api("POST", PATH)).status == 204
    assert (await api("POST", PATH, json={"name": "n"})).status == 204
    got = await api("POST", PATH, json={})
    assert (got.status, list(got.faults)) == (422, ["name"])
    assert seen == [None, Thing(name="n")]


async def test_a_body_that_is_needed_is_missed(serve: Serve) -> None:
    """Without bytes there is nothing to validate."""

    async def take(body: Thing) -> None:
        raise AssertionError

    api = await serve(make_route(take, "POST"))
    assert (await api("POST", PATH)).status in (400, 422)


async def test_a_body_where_none_is_taken_is_refused(serve: Serve) -> None:
    """Whoever sends one expects it to be read."""

    async def act() -> None: ...

    api = await serve(make_route(act, "POST"))
    assert (await api("POST", PATH, json={"name": "n"})).status == 422
    assert (await api("POST", PATH)).status == 204
