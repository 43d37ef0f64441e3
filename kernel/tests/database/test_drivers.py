"""How each driver connects: with the same settings, and the same patience."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.database import Database, drivers, make_engine
from galaxy_kernel.database.drivers import opener, server_settings
from galaxy_kernel.database.dsn import parse_dsn

SETTINGS = {
    "search_path": "backend, public",
    "statement_timeout": "1500ms",
    "idle_in_transaction_session_timeout": "1min",
    "TimeZone": "UTC",
    "application_name": "it's a \\ test",
    "lock_timeout": "0",
}


async def test_what_the_server_is_told(dsn: str) -> None:
    """Each driver sends the server the same settings, whatever characters are in them."""
    address = f"{dsn}?search_path=backend,public&sslmode=prefer"
    database = Database(make_engine(address, statement_timeout=1.5, application_name="it's a \\ test"), "backend")
    async with database.reading() as connection:
        for name, value in SETTINGS.items():
            assert (
                await connection.execute(text("SELECT current_setting(:name)"), {"name": name})
            ).scalar_one() == value
    await database.close()


async def test_the_connection_is_kept_alive(dsn: str) -> None:
    """TCP keep-alives are on."""
    import socket as sockets

    database = Database(make_engine(dsn), "backend")
    async with database.reading() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        if hasattr(driver, "_transport"):
            peer = driver._transport.get_extra_info("socket")
        else:
            peer = sockets.socket(fileno=(driver.raw if hasattr(driver, "raw") else driver).fileno())
        try:
            assert peer.getsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE) == 1
            assert peer.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPIDLE) == 10
            assert peer.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT) == 20_000
        finally:
            if not hasattr(driver, "_transport"):
                peer.detach()
    await database.close()


async def test_a_unix_socket(dsn: str, postgres_cluster: PostgresCluster) -> None:
    """A directory without a server's socket is an unreachable database, named without the password."""
    from galaxy_kernel.database import is_unavailable

    scheme, _, rest = dsn.partition("://")
    login = rest.partition("@")[0]
    database = Database(make_engine(f"{scheme}://{login}@/d?host=/nowhere"), "backend")
    with pytest.raises(DBAPIError, match="/nowhere") as caught:
        await database.ping()
    assert is_unavailable(caught.value)
    assert login.partition(":")[2] not in str(caught.value)


async def test_a_name_is_resolved(dsn: str) -> None:
    """A host is a name or an address; an unknown name is an unreachable database."""
    from galaxy_kernel.database import is_unavailable

    database = Database(make_engine(dsn.replace("127.0.0.1", "localhost")), "backend")
    await database.ping()
    await database.close()
    database = Database(make_engine(dsn.replace("127.0.0.1", "nobody.invalid"), connect_timeout=20), "backend")
    with pytest.raises(DBAPIError) as caught:
        await database.ping()
    assert is_unavailable(caught.value)


def test_settings_of_the_server() -> None:
    """Seconds become the server's milliseconds; 0 turns the statement time-out off."""
    told = server_settings(parse_dsn("postgres://h/d?search_path=ours,public"), 1.5)
    assert told["search_path"] == "ours, public"
    assert told["statement_timeout"] == "1500"
    assert told["timezone"] == "UTC"
    assert server_settings(parse_dsn("postgres://h/d"), 0)["statement_timeout"] == "0"


class Refusing:
    """A driver whose `connect` refuses some hosts, and notes what it was asked."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.asked = refused, list[tuple[str | None, int, dict[str, str]]]()

    async def connect(self, _dsn: Any, host: str | None, port: int, settings: Any, _extra: Any) -> str:
        self.asked.append((host, port, dict(settings)))
        if host in self.refused:
            raise ConnectionRefusedError("refused")
        return f"connected to {host}"


def opener_with(monkeypatch: pytest.MonkeyPatch, driver: Refusing, dsn: str, name: str = "ours") -> drivers.Opener:
    monkeypatch.setattr(drivers, "_DRIVERS", {"aiopg": (driver.connect, lambda: RuntimeError)})
    return opener(parse_dsn(dsn), connect_timeout=5, settings={}, application_name=name)


async def test_hosts_are_tried_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that takes us is used, and those behind it are not asked."""
    driver = Refusing("a")
    assert await opener_with(monkeypatch, driver, "postgres://a:1,b:2,c:3/d")() == "connected to b"
    assert [asked[:2] for asked in driver.asked] == [("a", 1), ("b", 2)]


async def test_every_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no host takes us, the error is the last one's, in the driver's own type, with the others in its notes."""
    connect = opener_with(monkeypatch, Refusing("a", "b"), "postgres://a:1,b:2/d")
    with pytest.raises(RuntimeError, match="cannot connect to b port 2") as caught:
        await connect()
    assert len(caught.value.__notes__) == 1
    assert "a port 1" in caught.value.__notes__[0]


@pytest.mark.parametrize(("query", "name"), [("", "ours"), ("?application_name=theirs", "theirs")])
async def test_the_dsn_names_the_application(monkeypatch: pytest.MonkeyPatch, query: str, name: str) -> None:
    """What SQLAlchemy repeats of the DSN is not passed on a second time."""
    driver = Refusing()
    await opener_with(monkeypatch, driver, f"postgres://a/d{query}")(host="other", password="other", database="other")
    assert driver.asked == [("a", 5432, {"application_name": name})]
