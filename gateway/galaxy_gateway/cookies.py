"""Sessions in a cookie, for pages that must not hold a token (GAMES.md, section 9).

With `X-Galaxy-Session: cookie` a sign-in's token goes into the cookie `__Host-galaxy`, which no script can read, and
not into the body. The cookie then stands for the bearer token. Since a browser attaches it by itself, an unsafe request
with it must come from a listed origin, or from this origin (Fetch Metadata): a foreign page's is refused.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from galaxy_chassis.http.problems import Problem
from galaxy_gateway.identity import well_formed
from galaxy_gateway.methods import UNSAFE

NAME = "__Host-galaxy"
"""The prefix binds a cookie to this host, to HTTPS and to the path `/` (RFC 6265bis, 4.1.3.2)."""
ASKED_BY = "X-Galaxy-Session"
SIGN_IN = "/api/v1/public/auth/confirm-email-code"
MAX_AGE = 400 * 86_400
"""Seconds: the most that browsers keep a cookie (RFC 6265bis, 5.5). The session itself ends sooner."""

_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"


class CookieSessions:
    """Cookies of the origins that the operator lists; none at all when none is listed."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def token(self, method: str, headers: Mapping[str, str]) -> str | None:
        """Return the token in a request's cookie. Raise 403 `origin_refused` for a foreign page's request."""
        if not self._origins or "Cookie" not in headers:
            return None
        token = _read(headers["Cookie"])
        if token is not None and method in UNSAFE:
            self._check_origin(headers)
        return token

    def asked(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Return whether this is a sign-in that wants a cookie. Raise 403 `origin_refused` for a foreign page's."""
        if not self._origins or path != SIGN_IN or method != "POST" or headers.get(ASKED_BY, "").lower() != "cookie":
            return False
        self._check_origin(headers)
        return True

    def allows(self, origin: str) -> bool:
        """Return whether a page of an origin may open a WebSocket, which CORS does not protect, with its cookie."""
        return origin in self._origins

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        origin = headers.get("Origin")
        if origin in self._origins or headers.get("Sec-Fetch-Site") == "same-origin":  # which no page can set itself
            return
        raise Problem(
            403,
            "origin_refused",
            "A request with the session's cookie must come from a page of this service: its Origin is not one of "
            "GATEWAY_COOKIE_ORIGINS.",
        )


def moved_into_cookie(body: bytes) -> tuple[bytes, str]:
    """Return a sign-in's answer without its token, and the `Set-Cookie` that has it."""
    document: dict[str, Any] = msgspec.json.decode(body)
    token = document.pop("session_token")
    return msgspec.json.encode(document), f"{NAME}={token}; Max-Age={MAX_AGE}; {_ATTRIBUTES}"


def expired() -> str:
    """Return the `Set-Cookie` that removes the cookie."""
    return f"{NAME}=; Max-Age=0; {_ATTRIBUTES}"


def _read(header: str) -> str | None:
    """Return the token in a `Cookie` header; other cookies of the host may look as they like (RFC 6265, 5.4)."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == NAME:
            return well_formed(value)
    return None
