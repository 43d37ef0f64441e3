"""What our code assumes of a session: asked for at connecting (`drivers.server_settings`), checked here (SPEC K-2).

A pooler may drop what was asked for; then queries fail long after the boot, or worse, do something else.
"""

from sqlalchemy import text

from galaxy_chassis.errors import BootError
from galaxy_kernel.database.engine import settings_of
from galaxy_kernel.database.errors import reason
from galaxy_kernel.database.transactions import Database

_ENCODING = "UTF8"
_SETTINGS = text("SELECT name, setting FROM pg_settings")
_POOLER = (
    "a pooler drops the settings of our connections: connect to Postgres itself, "
    "since LISTEN and session locks need that"
)
_REFUSED = ("unsupported startup parameter", "unrecognized configuration parameter")
"""What poolers, and servers that know less than PostgreSQL, say of the settings we ask for."""


async def check_session(database: Database) -> None:
    """Check a session. Raise BootError, which names the variable, and the driver's own error where there is none."""
    async with database.reading() as connection:
        rows = (await connection.execute(_SETTINGS)).all()
    # Folded here: in a Turkish database lower('IntervalStyle') begins with another letter.
    found = {str(name).lower(): str(setting) for name, setting in rows}
    encoding = found.get("server_encoding", "")
    if encoding != _ENCODING:
        raise BootError(
            f"BACKEND_POSTGRES_DSN: the database's encoding is {encoding}, and names are any Unicode: create one with "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    for name, asked in settings_of(database.engine).items():
        if found.get(name) != asked:
            raise BootError(
                f"BACKEND_POSTGRES_DSN: {name} is {found.get(name)!r} in our sessions, where we asked for {asked!r}: "
                f"{_POOLER}"
            )


def refusal_of_settings(error: BaseException) -> BootError | None:
    """Return the error for a server that refuses connections with our settings; None for any other refusal."""
    words = reason(error)
    if not any(refused in words for refused in _REFUSED):
        return None
    return BootError(f"BACKEND_POSTGRES_DSN: the server refuses the settings of our connections ({words}): {_POOLER}")
