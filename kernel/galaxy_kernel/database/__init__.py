"""The database: an engine for a DSN, transactions with after-commit actions, classified errors, and LISTEN/NOTIFY.

SQLAlchemy Core over one of three drivers, chosen by the DSN: `postgres://` is aiopg through a dialect of our own,
`postgresql+asyncpg://` and `postgresql+psycopg://` work where those are installed. All three give the same Python
types and the same behaviour under cancellation and faults; one suite of tests holds them to it.
"""

from galaxy_kernel.database.diagnosis import diagnose
from galaxy_kernel.database.dsn import DsnError, schema_of
from galaxy_kernel.database.engine import make_engine
from galaxy_kernel.database.errors import (
    is_busy,
    is_retryable,
    is_unavailable,
    is_write_refused,
    reason,
    sqlstate,
    unique_violation,
)
from galaxy_kernel.database.listener import Listener, notify
from galaxy_kernel.database.prepared import prepared
from galaxy_kernel.database.session import check_session, refusal_of_settings
from galaxy_kernel.database.transactions import Connection, Database, after_commit

__all__ = [
    "Connection",
    "Database",
    "DsnError",
    "Listener",
    "after_commit",
    "check_session",
    "diagnose",
    "is_busy",
    "is_retryable",
    "is_unavailable",
    "is_write_refused",
    "make_engine",
    "notify",
    "prepared",
    "reason",
    "refusal_of_settings",
    "schema_of",
    "sqlstate",
    "unique_violation",
]
