"""The base of settings groups and the types their fields use."""

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    PlainSerializer,
    SecretStr,
)

from galaxy_chassis.durations import format_duration, parse_duration

_SHORTEST_SECRET = 32
_FEWEST_BYTES = 10
"""Different ones: of 32 random hexadecimal digits hardly ever fewer are different."""


class Settings(BaseModel):
    """A group of settings: one environment variable a field, `<prefix><FIELD>` in upper case.

    Each field is followed by its doc string, which becomes the documentation. A field whose type is another group is
    read with that group's prefix. A field named after a Python keyword ends in an underscore, which the variable does
    not have: `from_` is read from `<prefix>FROM`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

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
        """The mark as a value for `Field(json_schema_extra=...)`."""
        return {"required_by": list(self.commands)}


class NoSettings(Settings):
    """The group of a plugin that has nothing to set."""


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


def _strong(secret: SecretStr) -> SecretStr:
    found = secret.get_secret_value().encode()
    if len(found) < _SHORTEST_SECRET:
        raise ValueError("expected at least 32 bytes, for example the output of: openssl rand -base64 48")
    if len(set(found)) < _FEWEST_BYTES:
        raise ValueError("expected a random value, for example the output of: openssl rand -base64 48")
    return secret


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

StrongSecret = Annotated[SecretStr, AfterValidator(_strong), TypeName("secret")]
"""A secret of a machine, which nobody types: at least 32 bytes, and not one letter again and again."""
