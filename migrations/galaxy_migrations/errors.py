"""Errors of migrations."""

from sqlalchemy.exc import DBAPIError


class MigrationError(Exception):
    """A branch cannot be read or applied. The message has the plugin, the revision, the cause and the remedy."""

    def __init__(self, message: str, *, plugin: str | None = None, revision: str | None = None) -> None:
        """Keep plugin and revision, None where it is about neither; `__cause__` is the error underneath, if any."""
        self.plugin, self.revision = plugin, revision
        super().__init__(message)


def sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's five-letter code of an error, whichever driver raised it."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


def reason(error: BaseException) -> str:
    """Return an error's message on one line, without the statement and the link that SQLAlchemy adds."""
    told = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(told).__name__}: {' '.join(str(told).split())}"
