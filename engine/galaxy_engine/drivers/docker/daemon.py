"""One connection to a Docker daemon: every call has a time limit, and a daemon that is away is `HostUnreachable`.

What aiodocker 0.27 leaves to its callers, and is seen to here:

- `Docker` needs a running event loop and fails by an assertion where it finds no address.
- Nothing has a time limit, and `_query` does not close the answer: a pull goes on after its reader was cancelled.
- A stream that breaks looks like one that has ended: half a pull looks like a whole one.
- Logs are decoded strictly: one wrong byte of an engine and there is no log.
- The API version that was found first stays, also when another daemon answers at the address later.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
from aiodocker import Docker, DockerError

from galaxy_engine.failures import ConfigInvalid, HostUnreachable

T = TypeVar("T")
Json = dict[str, Any]

AWAY = {900, 502, 503, 504}
"""Statuses that say that the daemon is away: aiodocker's for no connection, and those of a proxy before the daemon."""


def default_host(environment: Mapping[str, str]) -> str:
    """Return where the command `docker` would look for the daemon, contexts aside."""
    return environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


class Daemon:
    """Calls a daemon. Belongs to the event loop of its first call."""

    def __init__(self, host: str, timeout: timedelta) -> None:
        self.host = host
        self._timeout = timeout
        self._client: Docker | None = None

    async def call(self, request: Callable[[Docker], Awaitable[T]], more: timedelta = timedelta()) -> T:
        """Return the answer to one request, within the limit and `more`.

        Raise `HostUnreachable` if the daemon does not answer, and `DockerError` with what it answers otherwise.
        """
        with self._translated():
            async with asyncio.timeout((self._timeout + more).total_seconds()):
                return await request(self._connected())

    async def ask(self, request: Callable[[Docker], Awaitable[T]]) -> T | None:
        """Return the answer to a question, None where there is no such thing (404).

        A daemon that answers otherwise tells nothing of what it has: that too is `HostUnreachable`.
        """
        try:
            return await self.call(request)
        except DockerError as error:
            if error.status == 404:
                return None
            raise self.unreachable(error) from error

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        patience: timedelta | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Yield an answer as it comes. `patience`: how long the daemon may think before it begins.

        Leaving the context ends what the daemon does for the answer. Raises as `call` does.
        """
        begin = (patience or self._timeout).total_seconds()
        with self._translated():
            async with (
                asyncio.timeout(begin) as limit,
                self._connected()._query(path, method, params=dict(params), headers=headers, timeout=None) as answer,
            ):
                limit.reschedule(None)
                try:
                    yield answer.content
                finally:
                    answer.close()

    def _connected(self) -> Docker:
        if self._client is None:
            try:
                self._client = Docker(self.host)
            except ValueError as error:
                raise ConfigInvalid(f"{self.host!r} is not the address of a Docker daemon", str(error)) from error
        return self._client

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DockerError as error:
            if error.status in AWAY:
                raise self.unreachable(error) from error
            raise
        except (aiohttp.ClientError, OSError) as error:  # the time limit is among them
            raise self.unreachable(error) from error
        except (ValueError, KeyError, TypeError) as error:  # of an answer that is not a daemon's
            raise HostUnreachable(f"what answers at {self.host} is not a Docker daemon", repr(error)) from error

    def unreachable(self, error: Exception) -> HostUnreachable:
        """Return the failure; whoever answers next may be another daemon."""
        if self._client is not None:
            self._client.api_version = "auto"
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        return HostUnreachable(f"the Docker daemon at {self.host} does not answer", reason)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
