"""What is assumed of a session holds, whatever the server's defaults are, or the boot is refused."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg2
import pytest
from sqlalchemy import text

from galaxy_chassis.errors import BootError
from galaxy_kernel.database import Database, check_session, make_engine, refusal_of_settings
from galaxy_kernel.database.engine import settings_of

SSL_REQUEST = 80877103
"""The code in place of a version by which a client asks for TLS (PostgreSQL, "Message Formats")."""


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    database = Database(make_engine(dsn), "backend")
    try:
        yield database
    finally:
        await database.close()


def administer(dsn: str, *statements: str) -> None:
    """Execute statements apart from the driver under test; `{}` in them is the database's name."""
    address = urlsplit(dsn)
    connection = psycopg2.connect(address._replace(scheme="postgres").geturl())
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.format(address.path.removeprefix("/")))
    connection.close()


DEFAULTS = {
    "default_transaction_isolation": "'repeatable read'",
    "client_encoding": "'LATIN1'",
    "datestyle": "'German, DMY'",
    "intervalstyle": "'iso_8601'",
    "bytea_output": "'escape'",
    "timezone": "'Asia/Tokyo'",
    "search_path": "'elsewhere'",
    "statement_timeout": "7",
    "standard_conforming_strings": "off",
    "lock_timeout": "7",
    "idle_session_timeout": "'700ms'",  # long enough for the connection that resets it
    "idle_in_transaction_session_timeout": "'700ms'",
    "synchronous_commit": "off",
    "extra_float_digits": "0",
    "array_nulls": "off",
    "transform_null_equals": "on",
}


@pytest.mark.parametrize("setting", DEFAULTS)
async def test_other_defaults_of_the_database_change_nothing(dsn: str, setting: str) -> None:
    """Each is asked for at connecting, which has precedence over what database and role say."""
    administer(dsn, f"ALTER DATABASE {{}} SET {setting} = {DEFAULTS[setting]}")
    try:
        async with opened(dsn) as database:
            await check_session(database)
            query = text(
                "SELECT :name, now() - now(), '\\x00ff'::bytea, 'a\\b', current_setting('transaction_isolation')"
            )
            async with database.transaction() as connection:
                row = (await connection.execute(query, {"name": "日本 Łukasz"})).one()
                look = text("SELECT setting FROM pg_settings WHERE lower(name) = :name")
                found = (await connection.execute(look, {"name": setting})).scalar_one()
    finally:
        administer(dsn, f"ALTER DATABASE {{}} RESET {setting}")
    assert (row[0], row[1].total_seconds(), bytes(row[2])) == ("日本 Łukasz", 0, b"\x00\xff")
    assert tuple(row[3:]) == ("a\\b", "read committed")
    assert found == settings_of(database.engine)[setting]


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def other_encoding(request: pytest.FixtureRequest, dsn: str) -> Iterator[tuple[str, str]]:
    """Create a database of another encoding, and return its DSN."""
    encoding = request.param
    administer(dsn, f"CREATE DATABASE other ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    address = urlsplit(dsn)
    yield address._replace(path="/other").geturl(), encoding
    administer(dsn, "DROP DATABASE other WITH (FORCE)")


async def test_a_database_of_another_encoding_is_refused(other_encoding: tuple[str, str]) -> None:
    """With the variable, the encoding and the remedy."""
    dsn, encoding = other_encoding
    async with opened(dsn) as database:
        with pytest.raises(BootError, match=f"BACKEND_POSTGRES_DSN.*encoding is {encoding}.*TEMPLATE template0"):
            await check_session(database)


class Pooler:
    """Forwards connections, and leaves settings out of their first message, or refuses them, as poolers do."""

    def __init__(self, host: str, port: int, *, refuses: bool = False) -> None:
        self._host, self._port, self._refuses = host, port, refuses
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (length, code) = struct.unpack("!ii", await reader.readexactly(8))
            rest = await reader.readexactly(length - 8)
            if code != SSL_REQUEST:
                break
            writer.write(b"N")
        if self._refuses:
            fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
            await writer.drain()
            return
        words = rest.split(b"\0")
        given = dict(zip(words[::2], words[1::2], strict=False))
        kept = b"".join(name + b"\0" + given[name] + b"\0" for name in (b"user", b"database")) + b"\0"
        behind, ahead = await asyncio.open_connection(self._host, self._port)
        ahead.write(struct.pack("!ii", len(kept) + 8, code) + kept)
        try:
            await asyncio.gather(self._copy(reader, ahead), self._copy(behind, writer))
        finally:
            ahead.close()

    @staticmethod
    async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
        target.close()


@asynccontextmanager
async def pooled(dsn: str, *, refuses: bool = False) -> AsyncIterator[Database]:
    """Put a pooler in front of the database."""
    address = urlsplit(dsn)
    assert address.hostname is not None
    assert address.port is not None
    server = await asyncio.start_server(Pooler(address.hostname, address.port, refuses=refuses), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = address.netloc.rpartition("@")[0]
    try:
        async with opened(address._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()) as database:
            yield database
    finally:
        server.close()


async def test_a_pooler_that_drops_our_settings_is_refused(dsn: str) -> None:
    """The first that is missing is named, and what to do about it."""
    async with pooled(dsn) as database:
        with pytest.raises(BootError, match="BACKEND_POSTGRES_DSN: search_path is .* connect to Postgres itself"):
            await check_session(database)


async def test_a_pooler_that_refuses_our_settings_is_refused_with_its_words(dsn: str) -> None:
    """It would refuse them for ever: waiting for it is of no use."""
    async with pooled(dsn, refuses=True) as database:
        with pytest.raises(Exception) as caught:  # the driver's own
            await check_session(database)
    refusal = refusal_of_settings(caught.value)
    assert refusal is not None
    assert "unsupported startup parameter: options" in str(refusal)
    assert "BACKEND_POSTGRES_DSN" in str(refusal)


def test_another_refusal_is_none_of_our_settings() -> None:
    """What the server says of other things is left to others."""
    assert refusal_of_settings(ConnectionRefusedError("no")) is None
