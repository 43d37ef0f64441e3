"""Invalid routes refuse the boot, naming plugin, route and remedy."""

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from galaxy_devkit.testing.http import Api, make_route
from galaxy_kernel.errors import PluginError
from galaxy_kernel.http.call import Call, Response
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.routing import assemble

if TYPE_CHECKING:
    from collections.abc import Hashable


class Thing(Model):
    name: str


async def good(call: Call) -> None: ...
async def stranger(other: int) -> None: ...
async def bare(call) -> None: ...  # type: ignore[no-untyped-def] # that is the fault
async def silent(call: Call): ...  # type: ignore[no-untyped-def] # as above
async def vague() -> Response: ...  # type: ignore[type-arg,empty-body] # as above
async def hidden() -> "Hashable": ...  # as above
async def with_body(body: Thing) -> None: ...
async def odd_query(query: str) -> None: ...
async def with_form(form: Thing) -> None: ...
async def odd_form(form: str) -> None: ...
async def both(body: Thing, form: Thing) -> None: ...
async def odd_call(call: str) -> None: ...
async def starred(*args: int) -> None: ...
async def undescribable() -> "Service": ...  # type: ignore[empty-body] # as above
async def with_id(thing_id: int) -> None: ...
def plain() -> None: ...


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (make_route(stranger), "takes 'other'"),
        (make_route(bare), "'call' has no annotation"),
        (make_route(silent), "has no return annotation"),
        (make_route(vague), "write Response[SomeModel]"),
        (make_route(hidden), "outside TYPE_CHECKING"),
        (make_route(with_body), "a GET takes no body"),
        (make_route(odd_query), "annotated with a Model"),
        (make_route(odd_form, "POST"), "'form' must be annotated with a Model"),
        (make_route(with_form), "not with GET"),
        (make_route(both, "POST"), "take it alone"),
        (make_route(with_form, "POST", "/api/v1/admin/x", access=Access.ADMIN), "any web page could send a form"),
        (make_route(odd_call), "annotated Call"),
        (make_route(starred), "declare it plainly"),
        (make_route(undescribable), "cannot be described"),
        (make_route(plain), "async def"),  # type: ignore[arg-type] # that is the fault
        (make_route(good, path="/api/v1/public/{thing_id}"), "{thing_id}, which the handler does not take"),
        (make_route(good, path="/api/v1/public/{call}"), "a name the kernel keeps"),
        (make_route(good, path="/api/v1/public/x/"), "not well formed"),
        (make_route(good, path="/api/v1/user/x"), "begins with /api/v1/public/"),
        (make_route(good, access=None), "declares no access"),
        (make_route(good, name="other.good"), "must begin with the plugin's: demo.good"),
        (make_route(good, errors=("not_found",)), "not of the form '404 not_found'"),
    ],
)
def test_a_route_that_cannot_stand_is_refused_by_name(route: Route, said: str) -> None:
    """The refusal names plugin, route, method and path, and what to do."""
    with pytest.raises(PluginError) as caught:
        assemble([("demo", route)], max_body=1024)
    assert f"plugin 'demo', route {route.name!r} ({route.method} {route.path})" in str(caught.value)
    assert said in str(caught.value)


def test_two_routes_of_one_place_name_both_plugins() -> None:
    """Parameters' names do not distinguish paths."""
    one = make_route(with_id, path="/api/v1/public/{thing_id}", name="one.show")

    async def other(number: int) -> None: ...

    two = make_route(other, path="/api/v1/public/{number}", name="two.show")
    with pytest.raises(PluginError, match=r"'two'.*plugin 'one' serves that already as 'one.show'"):
        assemble([("one", one), ("two", two)], max_body=1024)


def test_two_routes_of_one_name_are_refused() -> None:
    """A name is an operation id: it is unique."""
    routes = [("demo", make_route(good)), ("demo", make_route(good, path="/api/v1/public/other"))]
    with pytest.raises(PluginError, match="plugin 'demo' has a route of that name already"):
        assemble(routes, max_body=1024)


class Service:
    """Handlers of other forms than a plain function."""

    async def show(self, thing_id: int) -> Thing:
        return Thing(name=str(thing_id))

    async def __call__(self, thing_id: int) -> Thing:
        return await self.show(thing_id)


async def show(prefix: str, thing_id: int) -> Thing:
    return Thing(name=f"{prefix}{thing_id}")


@pytest.mark.parametrize(
    "handler",
    [Service().show, Service(), functools.partial(show, "3"), functools.partial(show, prefix="3")],
    ids=["method", "object", "partial", "partial by keyword"],
)
async def test_a_handler_may_be_a_method_an_object_or_a_partial(
    serve: Callable[..., Awaitable[Api]], handler: Callable[..., Awaitable[Any]]
) -> None:
    """Arguments bound already are not taken from the request."""
    route = make_route(handler, path="/api/v1/public/things/{thing_id}", name="demo.show", access=Access.PUBLIC)
    client = await serve(route)
    assert (await client("GET", "/api/v1/public/things/7")).json["name"].endswith("7")
