"""Opening the store that a URL names, and its check in `/readyz`."""

from urllib.parse import parse_qs, urlsplit

from galaxy_chassis.clock import Clock
from galaxy_chassis.health import Health, Probe
from galaxy_gateway.store.errors import StoreUnavailableError
from galaxy_gateway.store.memory import MemoryStore
from galaxy_gateway.store.redis import RedisStore
from galaxy_gateway.store.store import Store

_EXPECTED = "expected memory://, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH"
_OPTIONS = {
    "db",
    "password",
    *("ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"),
}
"""Options of the client that a URL may set; the others would change time limits and retries."""


def check_store_url(url: str) -> str:
    """Return the URL. Raise ValueError, which does not quote it: it may hold a password."""
    parts = urlsplit(url)
    if not _is_place(parts.scheme, parts.netloc, parts.path):
        raise ValueError(_EXPECTED)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if any(not value.isdigit() for value in parse_qs(parts.query).get("db", ())):
        raise ValueError("has a db that is not a number")
    foreign = sorted(parse_qs(parts.query, keep_blank_values=True).keys() - _OPTIONS)
    if foreign:
        raise ValueError(f"has the option {foreign[0]!r}: expected {', '.join(sorted(_OPTIONS))}")
    return url


def open_store(url: str, clock: Clock) -> Store:
    """Return the store; it connects when it is first used. Raise ValueError for a URL that names none."""
    if urlsplit(check_store_url(url)).scheme == "memory":
        return MemoryStore(clock)
    return RedisStore(url, clock)


def store_probe(store: Store) -> Probe:
    """Return the check of the store. It does not gate: without the store reads and streams go on."""

    async def check() -> Health:
        try:
            await store.ping()
        except StoreUnavailableError as error:
            return Health("degraded", f"{error}; unsafe calls are refused meanwhile")
        return Health()

    return Probe("store", check, gates="report")


def _is_place(scheme: str, host: str, path: str) -> bool:
    match scheme:
        case "memory":
            return not host and path in ("", "/")
        case "redis" | "rediss":
            return bool(host) and (path in ("", "/") or (path[1:].isascii() and path[1:].isdigit()))
        case "unix":
            return path.startswith("/") and path != "/"
        case _:
            return False
