"""A server on a data directory that was made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from galaxy_devkit.postgres.server import EmbeddedPostgres


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory on which a server ran and was stopped."""
    data = tmp_path_factory.mktemp("made") / "data"
    server = EmbeddedPostgres(data, durable=False)
    server.start_sync()
    connection = psycopg2.connect(server.dsn())
    connection.autocommit = True
    connection.cursor().execute("CREATE TABLE kept AS SELECT 1 AS n")
    connection.close()
    server.stop_sync()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of it, because initdb takes most of a second."""
    return shutil.copytree(made, tmp_path / "data")


@pytest.fixture
def server(data: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data, durable=False)
    yield server
    server.stop_sync("immediate")
