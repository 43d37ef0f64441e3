"""Wake-ups: signal a worker here and on the other replicas that there may be something to do.

A wake-up is a hint and carries no data. Here it sets an event at once. To the other replicas it goes as NOTIFY
in a statement of its own, outside every transaction, for a NOTIFY inside one would make the commits of all writers
queue up behind each other. A lost one costs time, not work: workers also check by themselves now and then.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator

from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.logs import get_logger
from galaxy_kernel.database import Connection, Database, Listener, after_commit, notify

CHANNEL = "galaxy_wake"
INTERVAL = 0.05
"""Seconds between two notifications of one process; names woken meanwhile are sent together."""
_PAYLOAD = 7_000
"""Bytes of names in one notification: PostgreSQL accepts payloads shorter than 8,000."""

_log = get_logger("galaxy_kernel.wakeups", plugin="kernel")


class Wakeup:
    """The event of one name: set by a wake-up, cleared by the worker before it looks for work."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake current waiters, and the next one if there is none."""
        self._event.set()

    def clear(self) -> None:
        """Forget the wake-ups so far."""
        self._event.clear()

    def is_set(self) -> bool:
        """Return whether it was woken since it was last cleared."""
        return self._event.is_set()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait to be woken, at most `timeout` seconds; return whether it was."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return self._event.is_set()
        return True


class Wakeups:
    """Every name of one process that can be woken. A name has no spaces, as `mail.deliver` has none."""

    def __init__(self, database: Database, *, silent: bool = False) -> None:
        """Do no I/O: `run` does.

        `silent` is for tests: no notification is sent or received. It may be changed at any time.
        """
        self.silent = silent
        self._database = database
        self._events: dict[str, Wakeup] = {}
        self._to_send: set[str] = set()
        self._something_to_send = asyncio.Event()
        self._reconnected: list[Callable[[], None]] = []
        self._listener: Listener | None = None
        self._listened_before = False
        self._sender = secrets.token_hex(8)

    def event(self, name: str) -> Wakeup:
        """Return the event of a name, always the same one."""
        return self._events.setdefault(name, Wakeup())

    def wake(self, name: str, *, here: bool = True) -> None:
        """Wake a name now, here and soon on the other replicas; with `here=False` only there. It does no I/O."""
        if here:
            self.event(name).set()
        self._to_send.add(name)
        self._something_to_send.set()

    def after_commit(self, connection: Connection, name: str, *, here: bool = True) -> None:
        """Wake a name once the connection's transaction has committed; never when it rolls back."""
        after_commit(connection, lambda: self.wake(name, here=here))

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Register `callback` for when listening resumes after a loss: notifications sent meanwhile are lost."""
        self._reconnected.append(callback)

    @property
    def listening(self) -> bool:
        """Whether notifications are received now, as far as known."""
        return self._listener is not None and self._listener.connected

    async def run(self) -> None:
        """Receive and send notifications, until cancelled."""
        self._listener = Listener(self._database, CHANNEL, self._heard, self._connected)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listener.run())
            tasks.create_task(self._tell())

    def _heard(self, payload: str) -> None:
        sender, *names = payload.split(" ")
        if self.silent or sender == self._sender:  # our own were set when they were sent
            return
        for name in names:
            if name in self._events:  # no worker here waits for the others
                self._events[name].set()

    def _connected(self) -> None:
        for event in self._events.values():
            event.set()
        if self._listened_before:
            for callback in self._reconnected:
                callback()
        self._listened_before = True

    async def _tell(self) -> None:
        while True:
            await self._something_to_send.wait()
            names, self._to_send = self._to_send, set()
            self._something_to_send.clear()
            if not self.silent:
                await self._notify(names)
            await asyncio.sleep(INTERVAL)

    async def _notify(self, names: Iterable[str]) -> None:
        try:
            with own_cancellation_only():  # else the task group would drop the sender in silence
                await self._send(names)
        except Exception as error:  # the others check by themselves now and then
            _log.debug("wakeup_send_failed", error=type(error).__name__)

    async def _send(self, names: Iterable[str]) -> None:
        async with self._database.reading() as connection:
            for payload in _payloads(self._sender, names):
                await notify(connection, CHANNEL, payload)


def _payloads(sender: str, names: Iterable[str]) -> Iterator[str]:
    """Join names with spaces into as few payloads as they need."""
    payload = sender
    for name in sorted(names):
        if len(payload) + len(name) >= _PAYLOAD:
            yield payload
            payload = sender
        payload = f"{payload} {name}"
    yield payload
