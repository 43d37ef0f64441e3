"""The gateway beside the backend, where its distribution is installed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec

PORT = 8090
LISTEN = "GATEWAY_LISTEN_ADDR"


def is_installed() -> bool:
    """Return whether there is a gateway to run."""
    return find_spec("galaxy_gateway") is not None


def has_page() -> bool:
    """Return whether the gateway serves the players' page."""
    return is_installed() and find_spec("galaxy_web") is not None


def environment(listen_address: str, backend: str, push_address: str, token: str) -> dict[str, str]:
    """Return the variables of a gateway before this backend; those that the user has set have precedence.

    Pages that the gateway itself serves may keep their session in a cookie.
    """
    port = listen_address.rpartition(":")[2]
    return {
        LISTEN: listen_address,
        "GATEWAY_BACKEND_URL": backend,
        "GATEWAY_PUSH_ADDR": push_address,
        "GATEWAY_TOKEN": token,
        "GATEWAY_COOKIE_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
        "GATEWAY_OTEL_TRACES_EXPORTER": "none",
        "GATEWAY_OTEL_METRICS_EXPORTER": "none",
        "GATEWAY_SHUTDOWN_TIMEOUT": "2s",
    }


@asynccontextmanager
async def running(overlay: Mapping[str, str]) -> AsyncIterator[str]:
    """Run a gateway within the block, which gets its address. Raise BootError when it cannot start."""
    from galaxy_gateway.gateway import Gateway, configure  # noqa: PLC0415 - it may be absent

    async with Gateway(configure(overlay=overlay)).running() as gateway:
        yield gateway.address
