"""The time of the runtime: the database's clock decides what is due (SPEC R-12).

Statements write it as `statement_timestamp() + :shift`. The shift is nothing, except in tests that live through months.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Interval, bindparam, text

from galaxy_kernel.api import Connection

NOW = "(statement_timestamp() + :shift)"
"""For statements; they bind `SHIFT`."""
SHIFT = bindparam("shift", type_=Interval)

_NOW = text(f"SELECT {NOW}").bindparams(SHIFT)


@dataclass
class DatabaseTime:
    """What the database's clock is shifted by, in one kernel."""

    shift: timedelta = timedelta(0)

    async def now(self, connection: Connection) -> datetime:
        """Return the time."""
        now: datetime = (await connection.execute(_NOW, {"shift": self.shift})).scalar_one()
        return now
