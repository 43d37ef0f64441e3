"""The gateway's settings."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from annotated_types import Ge, Le
from pydantic import AfterValidator, Field, SecretStr

from galaxy_chassis.config.process import ProcessSettings
from galaxy_chassis.config.settings import Duration, ListenAddress, Names, Networks, RequiredBy, StrongSecret, TypeName
from galaxy_chassis.errors import ConfigurationError, Fault
from galaxy_gateway.limits.settings import LimitSettings
from galaxy_gateway.store.opening import check_store_url
from galaxy_gateway.streams.settings import StreamSettings

GATEWAY = "gateway"
"""The name under which the gateway's settings, checks and log lines stand."""
_NETLOC = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_ADDRESS = re.compile(r"[A-Za-z0-9._\-\[\]:]+:[0-9]{1,5}")
_DEFAULT_PORT = re.compile(r"^http:.*:80$|^https:.*:443$")
"""Ports that browsers leave out of an `Origin`."""
_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+")


def _check_backend(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        return url
    plain = parts.username is None and not parts.query and not parts.fragment and parts.path in ("", "/")
    if parts.scheme in ("http", "https") and parts.hostname and plain and _NETLOC.fullmatch(parts.netloc):
        _ = parts.port  # raises ValueError for one out of range
        return url
    raise ValueError(
        "expected http://HOST:PORT, https://HOST:PORT or unix:///PATH, without a path, user or query, and the name of "
        "the host in ASCII (`xn--…` for others)"
    )


def _check_backends(urls: tuple[str, ...]) -> tuple[str, ...]:
    if not urls:
        raise ValueError("expected at least one URL, for example http://127.0.0.1:8080")
    return tuple(_check_backend(url) for url in urls)


def _check_push(addresses: tuple[str, ...]) -> tuple[str, ...]:
    if not addresses or not all(_ADDRESS.fullmatch(address) for address in addresses):
        raise ValueError("expected at least one HOST:PORT, for example 127.0.0.1:8081")
    return addresses


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_ORIGIN.fullmatch(origin) and not _DEFAULT_PORT.search(origin) for origin in origins):
        raise ValueError(
            "expected exact origins as browsers send them, for example https://play.example.org, without a usual port"
        )
    return origins


def _check_store(url: SecretStr) -> SecretStr:
    check_store_url(url.get_secret_value())
    return url


Addresses = Annotated[Names, AfterValidator(_check_push), TypeName("HOST:PORT, comma-separated")]
Urls = Annotated[Names, AfterValidator(_check_backends), TypeName("URLs, comma-separated")]
Origins = Annotated[Names, AfterValidator(_check_origins), TypeName("origins, comma-separated")]


class GatewaySettings(ProcessSettings):
    """Settings of the edge process."""

    prefix: ClassVar[str | None] = "GATEWAY_"

    listen_addr: ListenAddress = "127.0.0.1:8090"
    """Where clients reach it."""
    tls_certificate: Path | None = None
    """A file with the certificate and its chain (PEM). With it the gateway speaks TLS; a new file is used within a
    minute, without a restart."""
    tls_key: Path | None = None
    """A file with the certificate's key (PEM); unset: it stands in the certificate's file."""
    backend_url: Urls = ("http://127.0.0.1:8080",)
    """The backends: `http://…`, `https://…` or `unix:///path`. With several, calls take turns, and one that does not
    answer is passed over."""
    backend_ca: Path | None = None
    """A file with the authorities (PEM) that vouch for `https://` backends; unset: the system's."""
    push_addr: Addresses = ("127.0.0.1:8081",)
    """The backends' gRPC listeners, `HOST:PORT`; one of them is subscribed to, another one when it is lost."""
    token: StrongSecret | None = Field(default=None, json_schema_extra=RequiredBy(("serve",)).extra)
    """The token that the backends know as `BACKEND_GATEWAY_TOKEN`, at least 32 bytes."""
    redis_url: Annotated[SecretStr, AfterValidator(_check_store), TypeName("URL")] = SecretStr("memory://")
    """Where limits are counted and answers to repeated calls are kept: `redis://`, `rediss://`, `unix://`, or `memory://`
    for a gateway that is the only one."""
    max_body: int = Field(default=1_048_576, ge=1024)
    """Largest request body in bytes."""
    request_timeout: Annotated[Duration, Ge(timedelta(seconds=1)), Le(timedelta(seconds=50))] = timedelta(seconds=30)
    """Time limit of a call to the backend, after which it is answered 504 `backend_timeout`; less than the minute for
    which a running call holds its Idempotency-Key."""
    trusted_proxies: Networks = ()
    """Peers whose `X-Forwarded-For` is trusted: the client is the first address from the right that is not one of
    them."""
    cookie_origins: Origins = ()
    """Origins of pages that may keep their session in a cookie; empty: there are no cookies."""
    cors_origins: Origins = ()
    """Origins of pages that may read answers and open streams, with a token of their own; empty: no other origin."""
    max_connections: int = Field(default=32_768, ge=16)
    """Client connections at a time, streams included; fewer where the process may not have as many descriptors."""
    max_connections_per_client: int = Field(default=512, ge=1)
    """Of one client address, or of one IPv6 network of 64 bits."""
    limit: LimitSettings = LimitSettings()
    stream: StreamSettings = StreamSettings()

    @property
    def gateway_token(self) -> str:
        """The token. Raise ConfigurationError where it is not set."""
        if self.token is None:
            raise ConfigurationError([Fault("GATEWAY_TOKEN", "required")])
        return self.token.get_secret_value()
