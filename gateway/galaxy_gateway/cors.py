"""Cross-origin requests (the Fetch standard's CORS protocol), for the origins that the operator lists."""

from collections.abc import Collection, Mapping

from multidict import CIMultiDict

from galaxy_gateway.methods import METHODS

REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Galaxy-Session"
)
EXPOSED = "ETag, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Idempotency-Replayed, Location"
MAX_AGE = 7200
"""Seconds for which a browser keeps a preflight's answer; the most that Chromium does."""


class Cors:
    """What an answer says to pages of other origins."""

    def __init__(self, origins: Collection[str], cookie_origins: Collection[str] = ()) -> None:
        """`cookie_origins` may send the session's cookie, too."""
        self._origins = frozenset(origins) | frozenset(cookie_origins)
        self._with_cookie = frozenset(cookie_origins)

    def allows(self, origin: str | None) -> bool:
        """Return whether pages of an origin may read answers."""
        return origin is not None and origin in self._origins

    def fields(self, origin: str | None) -> Mapping[str, str]:
        """Return the fields of an ordinary answer."""
        if not self._origins:
            return {}
        if origin is None or origin not in self._origins:
            return {"Vary": "Origin"}
        return self._granted(origin) | {"Access-Control-Expose-Headers": EXPOSED}

    def preflight(self, headers: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return the fields of the answer to a preflight; None when this is none, or not of a listed origin."""
        origin = headers.get("Origin")
        if origin is None or origin not in self._origins or "Access-Control-Request-Method" not in headers:
            return None
        return self._granted(origin) | {
            "Access-Control-Allow-Methods": ", ".join(METHODS),
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE),
        }

    def _granted(self, origin: str) -> dict[str, str]:
        granted = {"Vary": "Origin", "Access-Control-Allow-Origin": origin}
        if origin in self._with_cookie:
            granted["Access-Control-Allow-Credentials"] = "true"
        return granted


def add(answer: CIMultiDict[str], fields: Mapping[str, str]) -> None:
    """Add an answer's own fields to those of a backend, whose `Vary` stays."""
    for name, value in fields.items():
        if name == "Vary" and "Vary" in answer:
            answer["Vary"] = f"{answer['Vary']}, {value}"
        else:
            answer[name] = value
