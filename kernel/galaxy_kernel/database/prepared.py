"""Statements that the server parses and plans once for each connection, not each time."""

from typing import Any, TypeVar

from sqlalchemy import TextClause, TextualSelect

_Statement = TypeVar("_Statement", TextClause, TextualSelect)
_OPTION = "galaxy_prepared"


def prepared(statement: _Statement) -> _Statement:
    """Have a statement prepared, as is worth while for a long one that is often executed by itself.

    Planning costs such a statement more than executing it, so that is done once for each connection, and it is sent
    without SQLAlchemy's execution (`database.direct`). Its text has to be the same each time, so it holds no `IN` over
    a list; a type that the server cannot infer is written, as `CAST(:request_id AS text)`; `columns` are given in the
    order of the text, otherwise it raises ValueError. Its result has rows, and no `rowcount`. It changes nothing with
    asyncpg and psycopg, which prepare by themselves, with `stream` and execution options, and where somebody listens to
    SQLAlchemy's events of statements. A plan is made again once the statistics of its tables are (PostgreSQL, PREPARE):
    until then a statement that only a small table's plan suits is slow on a table that grew.
    """
    if not getattr(statement, "positional", True):
        raise ValueError("a prepared statement's columns are given in the order of its text: columns(column(…), …)")
    return statement.execution_options(**{_OPTION: True})


def is_prepared(statement: Any) -> bool:
    """Whether a statement was marked."""
    return isinstance(statement, TextClause | TextualSelect) and _OPTION in statement.get_execution_options()
