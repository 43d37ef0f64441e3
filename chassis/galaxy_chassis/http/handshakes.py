"""A listener for TLS that counts connections from the moment they are accepted.

asyncio's own server shows a connection only after its handshake, so that clients that never finish one would take every
descriptor unseen. Here the guard counts a handshake as a connection that has brought no request: it is the first to be
closed where places are short, and is closed as silent when its time is over.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import partial

from galaxy_chassis.http.connections import ConnectionGuard
from galaxy_chassis.http.protocol import ConnectionFactory
from galaxy_chassis.logs import get_logger

_PAUSE = 1.0
"""Seconds without accepting where it fails: descriptors are short, and asking again at once would only use the CPU."""

_log = get_logger("galaxy_chassis.http")


class Handshake:
    """A connection whose TLS handshake is under way, as its guard sees it."""

    used = False
    head_begun_at = None

    def __init__(self, peer: str, opened_at: float) -> None:
        self.peer, self.opened_at = peer, opened_at
        self.ended = False
        self.task: asyncio.Task[None] | None = None
        """What runs it, once it has begun."""

    def idle_since(self) -> float:
        """Return since when it is open: it waits for a request, too."""
        return self.opened_at

    def unread_for(self, now: float) -> float:  # noqa: ARG002 # as the guard asks
        """Return 0: there is no answer yet."""
        return 0.0

    def end(self) -> None:
        """Close it at once."""
        self.ended = True
        if self.task is not None:
            self.task.cancel()


class TlsListener:
    """Accepts connections, and hands them to the factory's protocols once their handshake is done."""

    def __init__(self, sockets: Sequence[socket.socket], factory: ConnectionFactory, context: ssl.SSLContext) -> None:
        """Accept from now on; `sockets` listen already, and are closed with this."""
        self.sockets = sockets
        self._factory, self._context = factory, context
        self._guard: ConnectionGuard = factory.guard
        self._loop = asyncio.get_running_loop()
        self._shaking: dict[asyncio.Task[None], Handshake] = {}
        self._accepting = [self._start(each) for each in sockets]

    def close(self) -> None:
        """Accept no more, and end the handshakes under way. Connections stay."""
        for accepting in self._accepting:
            accepting.cancel()
        for handshake in tuple(self._shaking.values()):
            handshake.end()

    def _start(self, listening: socket.socket) -> asyncio.Task[None]:
        task = asyncio.create_task(self._accept(listening), name="tls accept")
        task.add_done_callback(lambda _: listening.close())  # when nothing watches it any more
        return task

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, address = await self._loop.sock_accept(listening)
            except ConnectionAbortedError:  # the client was gone before
                continue
            except OSError as error:
                _log.error("http_accept_failed", error=str(error))
                await asyncio.sleep(_PAUSE)
                continue
            self._begin(accepted, str(address[0]))
            await asyncio.sleep(0)  # accepting does not wait while there are clients, and others have to run

    def _begin(self, accepted: socket.socket, peer: str) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake = Handshake(peer, self._loop.time())
        if not self._guard.admit(handshake):
            accepted.close()
            return
        task = asyncio.create_task(self._shake(handshake, accepted), name="tls handshake")
        self._shaking[task] = handshake
        task.add_done_callback(self._shaking.pop)

    async def _shake(self, handshake: Handshake, accepted: socket.socket) -> None:
        """Run a handshake; its connection takes its place when it is done."""
        if handshake.ended:
            accepted.close()
            return
        handshake.task = asyncio.current_task()
        make = partial(self._factory, handshake)
        try:
            await self._loop.connect_accepted_socket(make, accepted, ssl=self._context)
        except OSError:  # of the client: it speaks no TLS, or is gone
            pass
        finally:
            self._guard.remove(handshake)


async def listening_sockets(host: str, port: int, backlog: int) -> Sequence[socket.socket]:
    """Return sockets that listen on each address of a host; on all of this machine's for "". Raise OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, *_, address in dict.fromkeys(found):
            made = socket.create_server(address[:2], family=family, backlog=backlog)
            made.setblocking(False)
            sockets.append(made)
    except OSError:
        for made in sockets:
            made.close()
        raise
    return sockets
