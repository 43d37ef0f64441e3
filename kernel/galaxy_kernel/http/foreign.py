"""Refuses requests that a foreign web page makes in an operator's browser, which adds the password by itself.

Browsers say where a request comes from: `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/) and, with every unsafe
request, `Origin` (RFC 6454, 7). A page can set neither. Programs send neither, and are not concerned. A browser that
sends neither cannot send `application/json` across origins without asking first (the Fetch standard, 4.10), and nobody
answers that request: so a POST of access `admin`, the one unsafe method that a form has, must have that type even where
it has no body.

An origin is the service's own if its host is the request's `Host`. A proxy that rewrites that says what the browser
asked for in `X-Forwarded-Host` and `X-Forwarded-Proto`, which are believed where its `X-Forwarded-For` is (SPEC K-13).
"""

from collections.abc import Set
from itertools import islice

from multidict import CIMultiDictProxy, istr

from galaxy_chassis.http.problems import Problem
from galaxy_kernel.http.route import Access, Route

_FETCH_SITE, _ORIGIN, _HOST = istr("Sec-Fetch-Site"), istr("Origin"), istr("Host")
_FORWARDED_HOST, _FORWARDED_PROTO = istr("X-Forwarded-Host"), istr("X-Forwarded-Proto")
_SCHEMES = frozenset({"http", "https"})
_MOST_ENTRIES = 16
"""Values of one forwarding header that are looked at: a proxy each."""
_OWN_SITES = frozenset({"same-origin", "none"})
"""`none`: the person typed the address or opened a bookmark."""


def refuse_foreign_page(headers: CIMultiDictProxy[str], *, forwarded: bool) -> None:
    """Raise 403 `foreign_origin` for a request that a page of another origin makes.

    `forwarded`: whether the caller is trusted about the request that it forwards.
    """
    sites, origins = headers.getall(_FETCH_SITE, ()), headers.getall(_ORIGIN, ())
    own = all(site.strip().lower() in _OWN_SITES for site in sites)
    hosts: Set[str] = {headers.get(_HOST, "").strip().lower()}
    schemes: Set[str] = _SCHEMES  # either: a proxy may end TLS
    if forwarded and origins:
        hosts |= _entries(headers, _FORWARDED_HOST)
        schemes = _entries(headers, _FORWARDED_PROTO) & _SCHEMES or _SCHEMES
    if own and all(_is_own(origin, hosts, schemes) for origin in origins):
        return
    detail = "This operation cannot be called from a page of another origin: Sec-Fetch-Site or Origin names one."
    raise Problem(403, "foreign_origin", detail)


def _entries(headers: CIMultiDictProxy[str], name: istr) -> Set[str]:
    values = (value for line in headers.getall(name, ()) for value in line.split(","))
    return {value.strip().lower() for value in islice(values, _MOST_ENTRIES)}


def _is_own(origin: str, hosts: Set[str], schemes: Set[str]) -> bool:
    """Return whether an origin is one of these hosts', over one of the schemes; `null` never is."""
    scheme, separator, authority = origin.strip().lower().partition("://")
    if not separator or scheme not in schemes:
        return False
    port = ":80" if scheme == "http" else ":443"
    return authority.removesuffix(port) in {host.removesuffix(port) for host in hosts} - {""}


def demands_json(route: Route) -> bool:
    """Return whether a request must be of the type `application/json` even where it has no body.

    A web page of another origin cannot send that without the server's consent; a form it can.
    """
    return route.access is Access.ADMIN and route.method == "POST"
