"""Naming rules of constraints and indexes, the same in every plugin."""

from sqlalchemy import MetaData

NAMING_CONVENTION: dict[str, str] = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}
"""PostgreSQL's own names: a constraint created by hand and one created by Alembic have the same name.

A check constraint needs a name of its own (`name="state"` becomes `mail_deliveries_state_check`); so does an index over
an expression, and a second index over the same columns.
"""


def plugin_metadata() -> MetaData:
    """Make the MetaData of a plugin's tables, for its `tables.py`.

    It names no schema: the tables are found by the connection's `search_path`, so that one set of plugins can live in
    any schema (SPEC K-2).
    """
    return MetaData(naming_convention=NAMING_CONVENTION)
