"""How prepared statements reach the driver: not through SQLAlchemy's execution, which costs three times the driver's.

Whoever marks a statement with `prepared` executes it often and by itself. With our own driver its text, and the
functions that turn parameters and columns into what the driver has, are found once. What an error does to the
connection and the pool is SQLAlchemy's business as ever.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, TextClause, TextualSelect
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import greenlet_spawn

from galaxy_kernel.database.prepared import is_prepared

_Convert = Callable[[Any], Any]


class DirectConnection(AsyncConnection):
    """A connection that executes prepared statements directly, where its driver can."""

    __slots__ = ()

    async def execute(self, statement: Any, parameters: Any = None, **options: Any) -> Any:
        """Execute a statement, and return its buffered result."""
        if not options and is_prepared(statement):
            connection = self._proxied
            if (direct := _direct(connection, statement)) is not None:
                return await _execute(connection, direct, parameters or {})
        return await super().execute(statement, parameters, **options)


class _Direct:
    """A statement as one dialect sends it."""

    def __init__(self, statement: TextClause | TextualSelect, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._dialect = dialect
        self._binds = [(name, _to_driver(bind.type, dialect)) for name, bind in compiled.binds.items()]
        self._columns = list(statement.selected_columns) if isinstance(statement, TextualSelect) else []
        self._result: tuple[SimpleResultMetaData, list[_Convert | None]] | None = None

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters as the driver takes them. Raise KeyError for one that is missing."""
        return {name: given[name] if convert is None else convert(given[name]) for name, convert in self._binds}

    def result(self, rows: Sequence[tuple[Any, ...]], description: Sequence[Any]) -> IteratorResult[Any]:
        """Return rows as SQLAlchemy does. `description`: the driver's, a name and a type for each column."""
        if self._result is None:
            self._result = self._read(description)
        metadata, converts = self._result
        if any(converts):
            rows = [tuple([_converted(*each) for each in zip(row, converts, strict=True)]) for row in rows]
        return IteratorResult(metadata, iter(rows))

    def _read(self, description: Sequence[Any]) -> tuple[SimpleResultMetaData, list[_Convert | None]]:
        types = [column.type for column in self._columns]
        converts: list[Any] = [
            kind.dialect_impl(self._dialect).result_processor(self._dialect, each[1])
            for kind, each in zip(types, description, strict=False)
        ]
        converts += [None] * (len(description) - len(converts))
        return SimpleResultMetaData([each[0] for each in description]), converts


def _converted(value: Any, convert: _Convert | None) -> Any:
    return value if convert is None else convert(value)


_statements: WeakKeyDictionary[Dialect, dict[Any, _Direct]] = WeakKeyDictionary()


def _to_driver(kind: Any, dialect: Dialect) -> _Convert | None:
    convert: _Convert | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return convert


def _direct(connection: SyncConnection, statement: Any) -> _Direct | None:
    """Return how to send a statement; None where SQLAlchemy has to."""
    dialect = connection.dialect
    if not getattr(dialect, "sends_directly", False) or connection.invalidated:
        return None
    if connection._has_events or connection.engine._has_events:
        return None  # whoever listens to SQLAlchemy's events hears of every statement
    innermost = connection.get_nested_transaction() or connection.get_transaction()
    if innermost is not None and not innermost.is_active:
        return None
    known = _statements.setdefault(dialect, {})
    if (direct := known.get(statement)) is None:
        direct = known[statement] = _Direct(statement, dialect)
    return direct


async def _execute(connection: SyncConnection, direct: _Direct, parameters: Mapping[str, Any]) -> IteratorResult[Any]:
    if not connection.in_transaction():
        connection.begin()  # as SQLAlchemy does with the first statement; sends nothing
    try:
        given = direct.parameters(parameters)
        driver: Any = connection.connection.dbapi_connection
        rows, description = await driver.execute_prepared(direct.text, given)
    except BaseException as error:
        await greenlet_spawn(_raise, connection, direct.text, error)
        raise
    return direct.result(rows, description)


def _raise(connection: SyncConnection, text: str, error: BaseException) -> NoReturn:
    """Raise what SQLAlchemy raises for an error of the driver, and let go of a connection that it ended."""
    try:
        raise error
    except BaseException as raised:
        connection._handle_dbapi_exception(raised, text, None, None, None)
