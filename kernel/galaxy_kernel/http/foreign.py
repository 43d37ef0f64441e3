"""Refuses requests that a foreign web page makes in an operator's browser, which adds the password by itself.

Browsers say where a request comes from: `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/) and, with every unsafe
request, `Origin` (RFC 6454, 7). A page can set neither. Programs send neither, and are not concerned. A browser that
sends neither cannot send `application/json` across origins without asking first (the Fetch standard, 4.10), and nobody
answers that request: so a POST of access `admin`, the one unsafe method that a form has, must have that type even where
it has no body.
"""

from multidict import CIMultiDictProxy, istr

from galaxy_chassis.http.problems import Problem
from galaxy_kernel.http.route import Access, Route

_FETCH_SITE, _ORIGIN, _HOST = istr("Sec-Fetch-Site"), istr("Origin"), istr("Host")
_OWN_SITES = frozenset({"same-origin", "none"})
"""`none`: the person typed the address or opened a bookmark."""


def refuse_foreign_page(headers: CIMultiDictProxy[str]) -> None:
    """Raise 403 `foreign_origin` for a request that a page of another origin makes."""
    sites, origins = headers.getall(_FETCH_SITE, ()), headers.getall(_ORIGIN, ())
    own = all(site.strip().lower() in _OWN_SITES for site in sites)
    if own and all(_is_own(origin, headers.get(_HOST, "")) for origin in origins):
        return
    detail = "This operation cannot be called from a page of another origin: Sec-Fetch-Site or Origin names one."
    raise Problem(403, "foreign_origin", detail)


def _is_own(origin: str, host: str) -> bool:
    """Return whether an origin is this host's, over either scheme: a proxy may end TLS. `null` never is."""
    scheme, separator, authority = origin.strip().lower().partition("://")
    if not separator or scheme not in ("http", "https") or not host:
        return False
    port = ":80" if scheme == "http" else ":443"
    return authority.removesuffix(port) == host.strip().lower().removesuffix(port)


def demands_json(route: Route) -> bool:
    """Return whether a request must be of the type `application/json` even where it has no body.

    A web page of another origin cannot send that without the server's consent; a form it can.
    """
    return route.access is Access.ADMIN and route.method == "POST"
