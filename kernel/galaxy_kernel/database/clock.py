"""The database's time, at hand without a query.

Whatever is due, expires, or happened before something else is decided by one clock, the database's (SPEC K-2): rows
that one process writes are judged by others. `DatabaseClock` is what plugins have as `context.clock`: the time that the
server told last, carried on by this machine's monotonic clock. Each look at the change feed, twice a second, brings the
server's time again, so that neither a machine whose clock is set wrong, nor one that slept, makes times of its own.

The server read its clock at some moment between question and answer, which bounds the difference of the two clocks. It
is changed only as far as these bounds demand: a slow answer says little, and changes little.
"""

from datetime import UTC, datetime

from sqlalchemy import text

from galaxy_chassis.clock import Clock, SystemClock
from galaxy_chassis.health import Health
from galaxy_kernel.database.transactions import Database

MOST_SKEW = 2.0
"""Seconds by which this machine's clock and the database's may differ before `/readyz` and `doctor` say so."""

_TIME = text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)")


class DatabaseClock:
    """A clock that follows the database's."""

    def __init__(self, machine: Clock | None = None) -> None:
        """Begin with this machine's time, until `observe` is called."""
        self._machine = machine or SystemClock()
        self._ahead = self._machine.now().timestamp() - self._machine.monotonic()

    def now(self) -> datetime:
        """Return the database's time."""
        return datetime.fromtimestamp(self._ahead + self._machine.monotonic(), UTC)

    def monotonic(self) -> float:
        """Return seconds of this machine's clock that never steps back."""
        return self._machine.monotonic()

    @property
    def skew(self) -> float:
        """Seconds by which this machine's own clock is ahead of the database's; negative where it is behind."""
        return (self._machine.now() - self.now()).total_seconds()

    def observe(self, server: float, asked: float) -> None:
        """Follow the server's time, just answered, in seconds since 1970. `asked`: the question's monotonic time."""
        answered = self._machine.monotonic()
        self._ahead = min(max(self._ahead, server - answered), server - asked)

    async def ask(self, database: Database) -> None:
        """Ask the server for its time."""
        async with database.reading() as connection:
            asked = self._machine.monotonic()
            self.observe((await connection.execute(_TIME)).scalar_one(), asked)

    async def check(self) -> Health:
        """Report a machine whose clock is off: its log lines carry wrong times."""
        if abs(self.skew) <= MOST_SKEW:
            return Health()
        side = "ahead of" if self.skew > 0 else "behind"
        return Health(
            "degraded",
            f"this machine's clock is {abs(self.skew):.1f} s {side} the database's, which is used: check NTP",
        )
