"""The kernel's own settings."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from galaxy_chassis.config.process import ProcessSettings
from galaxy_chassis.config.settings import (
    Duration,
    ListenAddress,
    Names,
    Networks,
    RequiredBy,
    StrongSecret,
    TypeName,
)
from galaxy_chassis.errors import ConfigurationError, Fault
from galaxy_chassis.http.client_address import trust_warnings
from galaxy_kernel.database import schema_of


def _postgres(dsn: SecretStr) -> SecretStr:
    schema_of(dsn.get_secret_value())  # raises DsnError, whose message holds no password
    return dsn


KERNEL = "kernel"
"""The name under which the kernel's own settings, migrations, checks and log lines stand."""


class KernelSettings(ProcessSettings):
    """Settings of the kernel itself: where to listen, where Postgres is, what to export."""

    prefix: ClassVar[str | None] = "BACKEND_"

    secret_key: StrongSecret | None = Field(default=None, json_schema_extra=RequiredBy(("serve",)).extra)
    """Root of every keyed hash and seal, at least 32 bytes. Keep it: with another one, stored codes and seals are
    invalid. `backend dev` creates and keeps one.
    """
    postgres_dsn: Annotated[SecretStr, AfterValidator(_postgres), TypeName("postgres:// DSN")] | None = Field(
        default=None, json_schema_extra=RequiredBy(("serve", "migrate")).extra
    )
    """`postgres://user:password@host:port/database?search_path=backend`. The DSN selects the driver:
    `postgresql+asyncpg://` and `postgresql+psycopg://` work where installed; a bare `postgres://` means aiopg."""
    postgres_pool_size: int = Field(default=10, ge=2, le=200)
    """Connections kept to Postgres by one process."""
    postgres_statement_timeout: Duration = timedelta(seconds=10)
    """Time limit of a statement, after which Postgres cancels it."""
    http_listen_addr: ListenAddress = "127.0.0.1:8080"
    """Where the HTTP API listens."""
    http_max_body: int = Field(default=262_144, ge=1024)
    """Largest request body in bytes, unless a route says otherwise; players' routes take 16 KiB at most."""
    http_max_connections: int = Field(default=4096, ge=16)
    """Most connections to the HTTP API at a time; fewer where the process may not have as many descriptors."""
    http_max_connections_per_client: int = Field(default=512, ge=4)
    """Of them, most from one address, or from one IPv6 network of 64 bits. Trusted proxies are excepted."""
    http_request_timeout: Duration = timedelta(seconds=15)
    """Time limit of a request, after which it is answered 503 `timeout`."""
    push_listen_addr: ListenAddress = "127.0.0.1:8081"
    """Where the gRPC listener listens; opened when an installed plugin contributes a gRPC service."""
    gateway_token: StrongSecret | None = None
    """The token that the gateway sends in `X-Gateway-Token`, at least 32 bytes. Without it, internal routes and gRPC
    are closed."""
    trusted_proxies: Networks = ()
    """Peers that forward for clients: the client is the first from the right of their `X-Forwarded-For` that is not
    in these networks. They must overwrite or drop `X-Request-Id` and `traceparent`, which are believed too."""
    admin_networks: Networks = ()
    """Networks from which operations of access `admin` may be called; empty: from everywhere."""
    plugins_disabled: Names = ()
    """Installed plugins to leave out."""
    migrate_on_start: bool = True
    """Whether `serve` brings the schema up to date; otherwise it refuses a schema older than the code."""

    @property
    def warnings(self) -> list[Fault]:
        """What is valid, but hardly meant."""
        return trust_warnings("BACKEND_TRUSTED_PROXIES", self.trusted_proxies)

    @property
    def dsn(self) -> str:
        """The complete DSN, password included: not for logs. Raise ConfigurationError where it is not set."""
        return _given("BACKEND_POSTGRES_DSN", self.postgres_dsn)

    @property
    def secret(self) -> bytes:
        """The secret key. Raise ConfigurationError where it is not set."""
        return _given("BACKEND_SECRET_KEY", self.secret_key).encode()

    @property
    def token(self) -> str | None:
        """The gateway's token, None where it is not set."""
        return None if self.gateway_token is None else self.gateway_token.get_secret_value()


def _given(variable: str, value: SecretStr | None) -> str:
    if value is None:
        raise ConfigurationError([Fault(variable, "required")])
    return value.get_secret_value()
