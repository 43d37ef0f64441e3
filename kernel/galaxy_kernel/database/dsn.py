"""The database's address: one DSN for every driver."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import MappingProxyType
from urllib.parse import unquote

DEFAULT_DRIVER = "aiopg"
DEFAULT_PORT = 5432
DEFAULT_SCHEMA = "backend"

_TEMPLATE = "postgres://user:password@host:5432/database?search_path=backend"
_SHAPE = re.compile(r"(?P<scheme>[^:/?]+)://(?P<authority>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?", re.S)
_HOST = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_DRIVERS = MappingProxyType({"aiopg": "psycopg2", "asyncpg": "asyncpg", "psycopg": "psycopg"})
_TLS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"})
_OPTIONS = _TLS | {"search_path", "host", "port", "application_name", "connect_timeout", "target_session_attrs"}


class DsnError(ValueError):
    """The DSN cannot be used. The message has what was expected where, and never the password or what might be one."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """A parsed DSN."""

    driver: str
    """`aiopg`, `asyncpg` or `psycopg`."""
    hosts: tuple[tuple[str | None, int], ...]
    """Each host and port in the order to try. A host with `/` first is a directory of sockets, None the default one."""
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    search_path: tuple[str, ...]
    """At least one schema; ours is the first."""
    application_name: str | None
    connect_timeout: float | None
    """Seconds for each host."""
    target_session_attrs: str | None
    tls: Mapping[str, str]
    """libpq's ssl options, as given."""


def schema_of(dsn: str) -> str:
    """Return the schema the backend's tables live in; raise DsnError for a DSN that cannot be used."""
    return parse_dsn(dsn).search_path[0]


def parse_dsn(dsn: str) -> Dsn:
    """Parse a DSN: `postgres://user:password@host1:5432,host2/database?search_path=backend&sslmode=require`.

    Everything is percent-decoded. `?host=` and `?port=` have precedence over those in front of the path;
    `host=/run/postgresql` is a unix socket. Raise DsnError.
    """
    shape = _SHAPE.fullmatch(dsn)
    if shape is None:
        raise DsnError(f"the DSN is not a URL: expected {_TEMPLATE}")
    options = _options(shape["query"] or "")
    login, _, authority = shape["authority"].rpartition("@")
    user, _, password = login.partition(":")
    hosts = _hosts(options.pop("host", None), options.pop("port", None), authority)
    attributes = options.pop("target_session_attrs", "read-write" if len(hosts) > 1 else None)
    return Dsn(
        driver=_driver(shape["scheme"]),
        hosts=hosts,
        user=_decoded(user, "user name") or None,
        password=_decoded(password, "password") or None,
        database=_decoded(shape["database"] or "", "name of the database") or None,
        search_path=_search_path(options.pop("search_path", DEFAULT_SCHEMA)),
        application_name=options.pop("application_name", None),
        connect_timeout=_seconds(options.pop("connect_timeout", None)),
        target_session_attrs=attributes,
        tls=MappingProxyType(options),
    )


def _driver(scheme: str) -> str:
    dialect, _, driver = scheme.partition("+")
    if dialect not in {"postgres", "postgresql"}:
        raise DsnError(f"the DSN must begin with postgres:// or postgresql://: expected {_TEMPLATE}")
    driver = driver or DEFAULT_DRIVER
    if driver not in _DRIVERS:
        raise DsnError(f"the DSN names an unknown driver: expected postgresql+ one of {', '.join(_DRIVERS)}")
    if find_spec(_DRIVERS[driver]) is None:
        raise DsnError(
            f"the DSN names the driver {driver}, which is not installed: pip install galaxy-backend-kernel[{driver}]"
        )
    return driver


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        if name not in _OPTIONS or not equals:
            # an unescaped '?' in a password ends up here: the text itself stays out of the message
            raise DsnError(
                f"the DSN has an option that is not known: expected name=value of {', '.join(sorted(_OPTIONS))}"
            )
        if name in options:
            raise DsnError(f"the DSN gives {name} twice")
        options[name] = _decoded(value, name)
    return options


def _hosts(host: str | None, port: str | None, authority: str) -> tuple[tuple[str | None, int], ...]:
    if host is None:
        pairs = [_host(part) for part in authority.split(",")]
    else:
        pairs = [(part or None, None) for part in host.split(",")]
    ports = port.split(",") if port is not None else [None] * len(pairs)
    if len(ports) == 1:
        ports *= len(pairs)
    if len(ports) != len(pairs):
        raise DsnError(
            f"the DSN has {len(pairs)} hosts and {len(ports)} ports: expected one port, or one for each host"
        )
    chosen = tuple((name, _port(given or own)) for (name, own), given in zip(pairs, ports, strict=True))
    if len(chosen) > 1 and any(name is None for name, _ in chosen):
        raise DsnError("the DSN has an empty name in its list of hosts")
    return chosen


def _host(part: str) -> tuple[str | None, str | None]:
    match = _HOST.fullmatch(part)
    if match is None:
        raise DsnError("the DSN's host is malformed: expected host:port, [IPv6]:port, or several with commas between")
    return match["bracketed"] or _decoded(match["plain"], "host") or None, match["port"]


def _port(text: str | None) -> int:
    if not text:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536 and len(text) < 7):
        raise DsnError("the DSN's port must be a number from 1 to 65535")
    return int(text)


def _search_path(text: str) -> tuple[str, ...]:
    schemas = tuple(schema.strip() for schema in text.split(","))
    if not all(_SCHEMA.fullmatch(schema) for schema in schemas) or schemas[0].startswith("pg_"):
        raise DsnError(
            "the DSN's search_path must be schemas with commas between, each of a-z, 0-9 and _, not beginning with a "
            "digit or pg_, at most 63 letters"
        )
    return schemas


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) > 0):
        raise DsnError("the DSN's connect_timeout must be whole seconds, at least 1")
    return float(text)


def _decoded(text: str, what: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise DsnError(f"the DSN's {what} has a % that does not begin %XX: write %25 for the sign itself")
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise DsnError(f"the DSN's {what} is not UTF-8 where it is percent-encoded") from None
    if "\0" in plain:
        raise DsnError(f"the DSN's {what} has a zero byte")
    return plain
