"""Statements that the server parses and plans once for each connection, not each time."""

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy.sql.base import Executable

_Statement = TypeVar("_Statement", bound=Executable)
_OPTION = "galaxy_prepared"


def prepared(statement: _Statement) -> _Statement:
    """Have a statement prepared, as is worth while for a long one that is often executed by itself.

    Planning costs such a statement more than executing it. Its text has to be the same each time, so it holds no `IN`
    over a list; a type that the server cannot infer is written, as `CAST(:request_id AS text)`. With asyncpg and
    psycopg it changes nothing: they prepare by themselves. A plan is made again once the statistics of its tables are
    (PostgreSQL, PREPARE): until then a statement that only a small table's plan suits is slow on a table that grew.
    """
    return statement.execution_options(**{_OPTION: True})


def is_prepared(options: Mapping[str, Any]) -> bool:
    """Whether a statement with these execution options was marked."""
    return _OPTION in options
