"""Classifies database errors, whichever driver raised them."""

import socket
from collections.abc import Iterator

from sqlalchemy import exc as sa

_RETRYABLE = frozenset({"40001", "40P01", "55P03"})
"""serialization_failure, deadlock_detected, lock_not_available (PostgreSQL, appendix A)."""
_TIMED_OUT = "57014"
"""query_canceled: by `statement_timeout`, most often because of somebody else's lock."""
_UNAVAILABLE = ("08", "53", "57", "25006")
"""Classes connection_exception, insufficient_resources and operator_intervention; read_only_sql_transaction."""
_NOT_WRITABLE = frozenset({"53100", "25006"})
"""disk_full, read_only_sql_transaction."""
_UNIQUE = "23505"
_CLOSED = ("closed", "losed the connection", "not open")


def sqlstate(exc: BaseException) -> str | None:
    """Return PostgreSQL's five-letter code of an error, looking through what wraps it and what it was raised from.

    None when no server answered, or when it is not a database error. psycopg2 and psycopg do not have the code of a
    refused login, only the message.
    """
    for error in _chain(exc):
        for name in ("sqlstate", "pgcode"):
            if isinstance(code := getattr(error, name, None), str):
                return code
    return None


def is_unavailable(exc: BaseException) -> bool:
    """Return whether the database cannot be used just now: unreachable, lost, shutting down, out of disk, memory or
    connections, or read-only; or our pool is empty.

    The operation may or may not have happened. A TimeoutError or ConnectionError counts wherever it comes from,
    and a refused login with aiopg and psycopg, which do not distinguish it from an unreachable server.
    """
    return any(_unavailable(error) for error in _chain(exc))


def is_busy(exc: BaseException) -> bool:
    """Return whether a transaction gave way to others: it lost to one, or waited for one until its time was up."""
    return is_retryable(exc) or sqlstate(exc) == _TIMED_OUT


def is_write_refused(exc: BaseException) -> bool:
    """Return whether the server takes no writes: its disk is full, or it is read-only."""
    return sqlstate(exc) in _NOT_WRITABLE


def reason(exc: BaseException) -> str:
    """Return the driver's own sentence on one line: it may name host, user and database, never the password."""
    *_, innermost = _chain(exc)
    return " ".join(str(innermost).split()) or type(innermost).__name__


def is_retryable(exc: BaseException) -> bool:
    """Return whether the same transaction may succeed when repeated: it lost to another one."""
    return sqlstate(exc) in _RETRYABLE


def unique_violation(exc: BaseException) -> str | None:
    """Return the name of the unique constraint or index that refused a row; None for any other error."""
    if sqlstate(exc) != _UNIQUE:
        return None
    for error in _chain(exc):
        for holder in (error, getattr(error, "diag", None)):
            if isinstance(name := getattr(holder, "constraint_name", None), str):
                return name
    return ""


def _unavailable(error: BaseException) -> bool:
    if isinstance(error, sa.DBAPIError):
        return error.connection_invalidated
    if isinstance(error, sa.TimeoutError | ConnectionError | TimeoutError | socket.gaierror):
        return True
    code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(code, str):
        return code.startswith(_UNAVAILABLE) and code != _TIMED_OUT
    # without a code it is the client's own error: an OperationalError when it cannot connect or lost the
    # connection, an InterfaceError when the connection is closed, but also for plain misuse
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "OperationalError" in kinds:
        return True
    return "InterfaceError" in kinds and any(word in str(error) for word in _CLOSED)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, down to the driver's own; not by `__context__`, which may be unrelated."""
    seen: set[int] = set()
    queue: list[object] = [exc]
    for error in queue:
        if isinstance(error, BaseException) and id(error) not in seen:
            seen.add(id(error))
            yield error
            queue += (getattr(error, "orig", None), error.__cause__)
