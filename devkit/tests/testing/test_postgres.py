import contextlib
from typing import Any

import psycopg2
import pytest

from galaxy_devkit.testing.postgres import PostgresCluster


def query(dsn: str, statement: str) -> Any:
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None


def test_clones_are_alike_and_apart(postgres_cluster: PostgresCluster) -> None:
    """Every clone starts with the template's content, and what one changes the others do not see."""
    template = postgres_cluster.template("alike", lambda dsn: query(dsn, "CREATE TABLE t AS SELECT 1 AS n"))
    one, two = postgres_cluster.clone(template), postgres_cluster.clone(template)
    query(one, "DELETE FROM t")
    assert query(two, "SELECT n FROM t") == 1
    postgres_cluster.drop(one)
    postgres_cluster.drop(two)


def test_template_is_made_once(postgres_cluster: PostgresCluster) -> None:
    """A template requested twice is prepared once."""
    prepared: list[str] = []
    for _ in range(2):
        postgres_cluster.template("once", prepared.append)
    assert len(prepared) == 1


def test_template_left_connected(postgres_cluster: PostgresCluster) -> None:
    """A connection that the preparation forgot to close does not prevent clones."""
    forgotten: list[Any] = []
    postgres_cluster.template("left", lambda dsn: forgotten.append(psycopg2.connect(dsn)))
    postgres_cluster.drop(postgres_cluster.clone("left"))
    forgotten[0].close()


def test_failed_template(postgres_cluster: PostgresCluster) -> None:
    """A template whose preparation fails is gone, and can be made again."""
    with pytest.raises(ZeroDivisionError):
        postgres_cluster.template("failed", lambda dsn: 1 // 0)  # type: ignore[arg-type]
    postgres_cluster.template("failed", lambda dsn: None)


def test_drop_ends_connections(postgres_cluster: PostgresCluster) -> None:
    """A database is dropped together with its connections."""
    dsn = postgres_cluster.clone()
    with contextlib.closing(psycopg2.connect(dsn)):
        postgres_cluster.drop(dsn)
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(dsn)


def test_empty_database(empty_database: str) -> None:
    """The fixture `empty_database` is a database without a table."""
    assert query(empty_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_cluster_leaves_nothing() -> None:
    """The server and its directory are removed with the cluster."""
    with PostgresCluster() as cluster:
        folder = cluster.server.log.parent
        assert folder.exists()
    assert cluster.server.pid is None
    assert not folder.exists()
