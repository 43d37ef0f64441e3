"""The client connections of one listener: how many there may be, and for how long one may keep us waiting.

Descriptors are limited, so connections must be: in all, and for each client network. One more than a limit allows costs
the connection its place that has idled longest, or is closed itself where none idles. One timer sees to the time limits
of all connections; a request costs nothing here.
"""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Literal, Protocol

from galaxy_chassis.http.client_address import parse_address
from galaxy_chassis.logs import get_logger
from galaxy_chassis.logs.pacing import Pace

_log = get_logger("galaxy_chassis.http")

_RESERVE = 256
"""Descriptors kept for everything else: the database, calls to others, logs, and what is open at start."""
_FEWEST = 16
_SWEEP = 1.0
"""Seconds between two looks at all connections."""
_LIST_AGE, _LIST_PAUSE = 1.0, 0.05
"""Seconds for which a list of idle connections is used, and between two lists where few are idle."""

Reason = Literal["silent", "slow_head", "unread", "displaced", "refused"]
REASONS: tuple[Reason, ...] = ("silent", "slow_head", "unread", "displaced", "refused")
"""Why a connection was ended: it sent nothing; its head did not end; its client did not read; another one took its
place; there was no place for it."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of a listener: numbers of connections, and seconds."""

    total: int = 4096
    """Open at a time; fewer where the process may not have as many descriptors."""
    per_client: int = 512
    """Of one client address, or of one IPv6 network of 64 bits."""
    head: float = 10.0
    """From the first byte of a request's head to its last; and until the first byte of a new connection."""
    unread: float = 30.0
    """For which a client may leave an answer unread; taking `PROGRESS` bytes of it starts the time again."""
    idle: float = 75.0
    """Between two requests: more than the gateway keeps its own, so that the gateway closes first."""
    is_proxy: Callable[[str], bool] = field(default=lambda _: False)
    """Whether a peer forwards for many clients, so that `per_client` is not for it."""


PROGRESS = 32_768
"""Bytes of an answer that a client must take within `ConnectionLimits.unread`."""


class Guarded(Protocol):
    """A connection, as its guard sees it."""

    peer: str
    opened_at: float

    @property
    def used(self) -> bool:
        """Whether it has brought a request."""

    @property
    def head_begun_at(self) -> float | None:
        """When the head began that it is sending."""

    def idle_since(self) -> float | None:
        """Return since when it waits for a request, or leaves an answer unread; None while it is being served."""

    def unread_for(self, now: float) -> float:
        """Return for how many seconds its client has left an answer unread."""

    def end(self) -> None:
        """Close it at once, whatever was still to be sent."""


class _Group:
    """Connections that share a limit."""

    __slots__ = ("_idle", "_listed_at", "_taken", "members")

    def __init__(self) -> None:
        self.members: set[Guarded] = set()
        self._idle: list[Guarded] = []
        self._taken = 0
        self._listed_at = float("-inf")

    def idlest(self, now: float) -> Guarded | None:
        """Return what to close first: one that never brought a request, else the one that has idled longest.

        A list of the idle ones is used for a while, so that a flood of clients costs a constant for each.
        """
        if self._list_is_old(now):
            idle = [(each.used, since, each) for each in self.members if (since := each.idle_since()) is not None]
            idle.sort(key=lambda one: one[:2], reverse=True)
            self._idle, self._listed_at, self._taken = [each for *_, each in idle], now, 0
        while self._idle:
            found = self._idle.pop()
            self._taken += 1
            if found in self.members and found.idle_since() is not None:
                return found
        return None

    def _list_is_old(self, now: float) -> bool:
        age = now - self._listed_at
        if self._idle:
            return age >= _LIST_AGE
        return age >= _LIST_PAUSE or self._taken * 4 >= len(self.members)


class ConnectionGuard:
    """Admits connections and ends those that keep the service waiting."""

    def __init__(self, limits: ConnectionLimits, loop: asyncio.AbstractEventLoop) -> None:
        self._limits, self._loop = limits, loop
        self.total = limits.total
        self._all = _Group()
        self._by_network: dict[str, _Group] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._pace = Pace(loop.time)
        self.ended: dict[str, int] = dict.fromkeys(REASONS, 0)
        """How many were ended, by reason, since the start."""

    def __len__(self) -> int:
        return len(self._all.members)

    def admit(self, connection: Guarded) -> bool:
        """Count a new connection, and return True; False where there is no place for it."""
        network = network_of(connection.peer)
        group = self._by_network.get(network) or _Group()
        if not self._has_room(connection, group):
            self.ended["refused"] += 1
            return False
        self._by_network[network] = group
        group.members.add(connection)
        self._all.members.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(self._pause, self._sweep)
        return True

    def remove(self, connection: Guarded) -> None:
        """Count a connection no more; safe for one that was not counted."""
        self._all.members.discard(connection)
        network = network_of(connection.peer)
        group = self._by_network.get(network)
        if group is not None:
            group.members.discard(connection)
            if not group.members:
                del self._by_network[network]

    def sweep(self) -> None:
        """End the connections whose time is up."""
        now = self._loop.time()
        late = [(each, reason) for each in self._all.members if (reason := self._fault(each, now)) is not None]
        for each, reason in late:
            self._end(each, reason)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _pause(self) -> float:
        return min(_SWEEP, self._limits.head / 4, self._limits.unread / 4)

    def _sweep(self) -> None:
        self._timer = None
        self.sweep()
        if self._all.members:
            self._timer = self._loop.call_later(self._pause, self._sweep)

    def _fault(self, each: Guarded, now: float) -> Reason | None:
        if each.unread_for(now) > self._limits.unread:
            return "unread"
        if each.head_begun_at is not None:
            return "slow_head" if now - each.head_begun_at > self._limits.head else None
        if not each.used and now - each.opened_at > self._limits.head:
            return "silent"
        return None

    def _has_room(self, connection: Guarded, group: _Group) -> bool:
        limits = self._limits
        if len(group.members) >= limits.per_client and not limits.is_proxy(connection.peer):
            return self._make_room(group, limit="per_client", allowed=limits.per_client)
        if len(self._all.members) >= self.total:
            return self._make_room(self._all, limit="total", allowed=self.total)
        return True

    def _make_room(self, group: _Group, *, limit: str, allowed: int) -> bool:
        idlest = group.idlest(self._loop.time())
        held_back = self._pace.due()
        if held_back is not None:
            _log.warning(
                "http_connections_exhausted",
                limit=limit,
                allowed=allowed,
                open=len(self),
                refused=idlest is None,
                held_back=held_back,
            )
        if idlest is None:
            return False
        self._end(idlest, "displaced")
        return True

    def _end(self, connection: Guarded, reason: Reason) -> None:
        self.ended[reason] += 1
        self.remove(connection)
        connection.end()

    def fit_descriptors(self) -> None:
        """Raise the process's limit of descriptors as far as it may, and stay below it. Warn where that is few."""
        descriptors = raise_descriptor_limit()
        self.total = min(self._limits.total, max(_FEWEST, descriptors - max(_RESERVE, _open_descriptors() + 64)))
        if self.total < self._limits.total:
            _log.warning("http_connections_limited", allowed=self.total, descriptors=descriptors)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems allow less than they say
            return soft
    return 1 << 31 if hard == resource.RLIM_INFINITY else hard


def _open_descriptors() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0


@lru_cache(maxsize=4096)
@lru_cache(maxsize=8192)
def network_of(peer: str) -> str:
    """Return what one client can choose its address in: the address of IPv4, the network of 64 bits of IPv6.

    Anything else, such as the peer of a Unix socket, is returned as it is.
    """
    address = parse_address(peer)
    if address is None:
        return peer
    known = ip_address(address)
    return str(IPv6Network((known, 64), strict=False)) if isinstance(known, IPv6Address) else address
