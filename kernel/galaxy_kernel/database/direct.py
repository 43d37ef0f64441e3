"""How prepared statements reach the driver: not through SQLAlchemy's execution, which costs three times the driver's.

Whoever marks a statement with `prepared` executes it often and by itself. With our own driver its text, and the
functions that turn parameters and columns into what the driver has, are found once. What an error does to the
connection and to the pool is still decided by SQLAlchemy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy import Dialect, TextClause, TextualSelect
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import greenlet_spawn

from galaxy_kernel.database.prepared import is_prepared

_Convert = Callable[[Any], Any]
_EVENTS = ("before_execute", "after_execute", "before_cursor_execute", "after_cursor_execute")


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


class Direct:
    """A statement as one dialect sends it."""

    def __init__(self, statement: TextClause | TextualSelect, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._dialect = dialect
        self._binds = [
            (name, bind.type.dialect_impl(dialect).bind_processor(dialect)) for name, bind in compiled.binds.items()
        ]
        self._defaults = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
        self._types = [each.type for each in statement.selected_columns] if isinstance(statement, TextualSelect) else []
        self._shape: list[tuple[Any, ...]] = []
        self._metadata = SimpleResultMetaData(())
        self._converts: list[_Convert | None] = []

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters as the driver takes them."""
        values = {**self._defaults, **given}
        return {name: _converted(values[name], convert) for name, convert in self._binds}

    def result(self, rows: Sequence[tuple[Any, ...]], description: Sequence[Any]) -> IteratorResult[Any]:
        """Return rows as SQLAlchemy does. `description`: the driver's, a name and a type for each column."""
        shape = [each[:2] for each in description]
        if shape != self._shape:  # the first time, and after a migration
            self._metadata, self._converts = SimpleResultMetaData([name for name, _ in shape]), self._of(shape)
            self._shape = shape
        if any(self._converts):
            rows = [tuple([_converted(*each) for each in zip(row, self._converts, strict=True)]) for row in rows]
        return IteratorResult(self._metadata, iter(rows))

    def _of(self, shape: Sequence[tuple[Any, ...]]) -> list[_Convert | None]:
        converts: list[Any] = [None] * len(shape)
        for place, (kind, (_, code)) in enumerate(zip(self._types, shape, strict=False)):
            converts[place] = kind.dialect_impl(self._dialect).result_processor(self._dialect, code)
        return converts


def _converted(value: Any, convert: _Convert | None) -> Any:
    return value if convert is None else convert(value)


def _direct(connection: SyncConnection, statement: Any) -> Direct | None:
    """Return how to send a statement; None where SQLAlchemy has to."""
    known: dict[Any, Direct] | None = getattr(connection.dialect, "direct", None)
    if known is None or connection.invalidated or _is_listened_to(connection):
        return None
    innermost = connection.get_nested_transaction() or connection.get_transaction()
    if innermost is not None and not innermost.is_active:
        return None
    if (direct := known.get(statement)) is None:
        direct = known[statement] = Direct(statement, connection.dialect)
    return direct


def _is_listened_to(connection: SyncConnection) -> bool:
    """Return whether somebody expects SQLAlchemy's events of statements; isolation levels make others."""
    if not (connection._has_events or connection.engine._has_events):
        return False
    return any(getattr(connection.dispatch, event) for event in _EVENTS)


async def _execute(connection: SyncConnection, direct: Direct, parameters: Mapping[str, Any]) -> IteratorResult[Any]:
    if not connection.in_transaction():
        connection.begin()  # as SQLAlchemy does with the first statement; sends nothing
    try:
        given = direct.parameters(parameters)
    except Exception as error:
        await greenlet_spawn(_raise, connection, direct.text, error)
    try:
        driver: Any = connection.connection.dbapi_connection
        rows, description = await driver.execute_prepared(direct.text, given)
    except BaseException as error:
        of_driver = isinstance(error, connection.dialect.loaded_dbapi.Error)
        await greenlet_spawn(_raise, connection, direct.text if of_driver else None, error)
    return direct.result(rows, description)


def _raise(connection: SyncConnection, text: str | None, error: BaseException) -> NoReturn:
    """Raise what SQLAlchemy raises for an error, and let go of a connection that it ended.

    With a statement's text any error is wrapped. Raised again here, since SQLAlchemy looks at what is being handled.
    """
    try:
        raise error
    except BaseException as raised:
        connection._handle_dbapi_exception(raised, text, None, None, None)
