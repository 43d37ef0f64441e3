"""Compiles the plugins' routes into the router, with every check that can be made before a request."""

import re
from collections.abc import Iterable

from galaxy_kernel.http.body import Parsing
from galaxy_kernel.http.endpoint import Endpoint
from galaxy_kernel.http.headers import DECLARED
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.router import Router
from galaxy_kernel.http.signature import read_signature, refusal

_ERROR = re.compile(r"[45]\d\d [a-z][a-z0-9_]*")


def assemble(routes: Iterable[tuple[str, Route]], *, max_body: int) -> Router[Endpoint]:
    """Compile the routes, passed with their plugins' names. Raise PluginError for an invalid one."""
    router: Router[Endpoint] = Router()
    names: dict[str, str] = {}
    parsing = Parsing()
    for plugin, route in routes:
        check_route(plugin, route)
        if route.name in names:
            raise refusal(
                plugin, route, f"plugin {names[route.name]!r} has a route of that name already: rename one of them"
            )
        names[route.name] = plugin
        endpoint = Endpoint(plugin, route, read_signature(plugin, route), max_body=max_body, parsing=parsing)
        taken = router.add(route.method, route.path, endpoint)
        if taken is not None:
            raise refusal(
                plugin, route, f"plugin {taken.plugin!r} serves that already as {taken.route.name!r}: change one path"
            )
    return router


def check_route(plugin: str, route: Route) -> None:
    """Check the route's declaration. Raise PluginError."""
    if route.access is None:
        raise refusal(plugin, route, f"it declares no access: set one of {', '.join(Access)}")
    prefix = f"/api/v1/{route.access}/"
    if not route.path.startswith(prefix):
        raise refusal(plugin, route, f"a route of access {route.access.value!r} begins with {prefix}: change the path")
    if not route.name.startswith(f"{plugin}."):
        raise refusal(plugin, route, f"its name must begin with the plugin's: {plugin}.{route.name.rpartition('.')[2]}")
    for error in route.errors:
        if _ERROR.fullmatch(error) is None:
            raise refusal(plugin, route, f"its error {error!r} is not of the form '404 not_found'")
    for header in route.headers:
        if header not in DECLARED:
            raise refusal(plugin, route, f"its header {header!r} is not one of {', '.join(sorted(DECLARED))}")
