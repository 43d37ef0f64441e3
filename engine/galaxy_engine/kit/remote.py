"""A subject that runs somewhere, known by its URL."""

from urllib.parse import urlsplit

from galaxy_engine.kit.subject import Engine
from galaxy_engine.kit.trace import Trace
from galaxy_engine.transport import Transport


class RemoteSubject:
    """An engine that somebody else has started; the kit takes it as it is."""

    kind = "url"
    launches = False

    def __init__(self, url: str, trace: Trace, token: str = "") -> None:
        self.name = url
        self._address = address_of(url)
        self._trace = trace
        self._token = token
        self._transports: list[Transport] = []

    async def start(self, variant: int, port: int | None = None) -> Engine:  # noqa: ARG002  (there is only this one)
        """Return the engine."""
        self._transports.append(Transport())
        return Engine(self._transports[-1], self._address, self._trace, token=self._token)

    async def stop(self, engine: Engine, grace: float) -> None:
        """Do nothing: the engine is somebody else's."""

    async def state(self, engine: Engine) -> str:
        """Return what is known of it."""
        return f"at {engine.address}, not started by the kit"

    async def close(self) -> str:
        """Close the connections."""
        for transport in self._transports:
            await transport.close()
        return ""


def address_of(url: str) -> str:
    """Return the `host:port` of a URL; raise ValueError if it is not one that an engine can have."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("an engine's URL is http://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or 80}"
