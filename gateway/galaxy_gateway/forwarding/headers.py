"""Which headers are passed on, to the backend and back (SPEC W-1; RFC 9110, 7.6.1)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from multidict import CIMultiDict, CIMultiDictProxy, istr

GATEWAY_TOKEN = istr("X-Gateway-Token")
"""Shows a backend that a call comes from its gateway."""
HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
"""Headers of one connection, never of a message that is forwarded."""

_IDENTITY = frozenset(
    (
        *("forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip"),
        *("x-request-id", "traceparent", "tracestate", "baggage", "via"),
    )
)
"""What a proxy says of its client. Only this process says it to the backend."""
_IDENTITY_PREFIXES = ("x-forwarded-", "x-gateway-", "x-original-", "x-rewrite-")
_OURS = frozenset(("host", "content-length", "expect", "cookie", "authorization"))
"""Written here: framing, and who calls."""
_CONNECTION = istr("Connection")
_FRAMING = frozenset(("content-length", "date", "server", "x-request-id"))
"""Of the backend's answer, written again here."""


def to_backend(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the headers of a client's request that the backend is to see."""
    kept = CIMultiDict([field for field in headers.items() if _is_clients(field[0])])
    return _without_nominated(kept, headers.getall(_CONNECTION, ()))


def to_client(headers: Sequence[tuple[str, str]]) -> CIMultiDict[str]:
    """Return the headers of a backend's answer that the client is to see."""
    kept = CIMultiDict([field for field in headers if _is_backends(field[0])])
    return _without_nominated(kept, [value for name, value in headers if name.lower() == "connection"])


@lru_cache(maxsize=1024)
def _is_clients(name: str) -> bool:
    """Return whether a field of a request is the client's to set."""
    lower = name.lower()
    if lower in HOP_BY_HOP or lower in _IDENTITY or lower in _OURS:
        return False
    # an underscore is a hyphen for some readers: `X_Forwarded_For` would name the client
    return "_" not in lower and not lower.startswith(_IDENTITY_PREFIXES)


@lru_cache(maxsize=512)
def _is_backends(name: str) -> bool:
    """Return whether a field of an answer is neither the connection's nor written again here."""
    lower = name.lower()
    return lower not in HOP_BY_HOP and lower not in _FRAMING


def _without_nominated(kept: CIMultiDict[str], connection: Iterable[str]) -> CIMultiDict[str]:
    """Remove the fields that `Connection` lists: they belong to the connection too."""
    for line in connection:
        for name in line.split(","):
            kept.popall(name.strip(), None)
    return kept
