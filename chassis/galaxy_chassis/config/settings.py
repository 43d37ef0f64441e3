"""The base of settings groups and the types their fields use."""

import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, PlainSerializer

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class Settings(BaseModel):
    """A group of settings: one environment variable a field, `<prefix><FIELD>` in upper case.

    Each field is followed by its doc string, which becomes the documentation. A field whose type is another
    group is read with that group's prefix. A field named for a word of Python's ends in an underscore, which
    the variable has not: `from_` is read from `<prefix>FROM`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, validate_default=True
    )

    prefix: ClassVar[str | None] = None
    """Prefix of the variables; None: `BACKEND_<PLUGIN>_`."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """How a type is called in the table of settings, where its Python name would say little."""

    name: str


@dataclass(frozen=True, slots=True)
class RequiredBy:
    """Mark of a setting without which these commands refuse to run."""

    commands: tuple[str, ...]

    @property
    def extra(self) -> dict[str, JsonValue]:
        """What `Field(json_schema_extra=...)` takes to carry the mark."""
        return {"required_by": list(self.commands)}


class NoSettings(Settings):
    """The group of a plugin that has nothing to set."""


def parse_duration(value: Any) -> Any:
    """Read `500ms`, `2s`, `5m`, `1h` or `30d`; pass on what is a timedelta already."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("expected a duration such as 500ms, 2s, 5m or 1h")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise ValueError("is too long a duration: at most 999999999 days") from None


def format_duration(value: timedelta) -> str:
    """Write a duration as it is read, in the largest unit that keeps it whole."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = int(_UNITS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _parse_networks(value: Any) -> Any:
    try:
        return tuple(ip_network(part) for part in _split(value))
    except ValueError:
        raise ValueError("expected networks in CIDR notation, for example 10.0.0.0/8,::1/128") from None


def _parse_address(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError("expected HOST:PORT, for example 127.0.0.1:8080")
    return value if host else f"0.0.0.0:{port}"


def split_address(address: str) -> tuple[str, int]:
    """Split a listen address into host (brackets of an IPv6 address removed) and port."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    TypeName("duration"),
]
"""A length of time, written `2s`, `500ms`, `5m`, `1h` or `30d`."""

Names = Annotated[tuple[str, ...], BeforeValidator(_split), TypeName("names, comma-separated")]
"""Several words, separated by commas."""

Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    BeforeValidator(_parse_networks),
    TypeName("networks (CIDR), comma-separated"),
]
"""Networks in CIDR notation, separated by commas."""

ListenAddress = Annotated[str, BeforeValidator(_parse_address), TypeName("HOST:PORT")]
"""`HOST:PORT`; `:PORT` listens on every interface; port 0 takes a free one."""
