"""From text to a DSN, or to what is wrong with it."""

import string
from dataclasses import fields
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_kernel.database import DsnError, make_engine, schema_of
from galaxy_kernel.database.dsn import parse_dsn

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
NAMES = st.text(string.ascii_lowercase + string.digits + "-.", min_size=1, max_size=20)
SCHEMAS = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: not name.startswith("pg_"))
PORTS = st.integers(1, 65535)


@given(WORDS, WORDS, st.lists(st.tuples(NAMES, PORTS), min_size=1, max_size=4), WORDS, SCHEMAS)
def test_what_is_written_is_read(
    user: str, password: str, hosts: list[tuple[str, int]], database: str, schema: str
) -> None:
    """Parts of any characters are parsed back, and the password is never shown."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    places = ",".join(f"{host}:{port}" for host, port in hosts)
    dsn = f"postgres://{login}@{places}/{quote(database, safe='')}?search_path={schema}"
    parsed = parse_dsn(dsn)
    assert (parsed.user, parsed.password, parsed.database) == (user, password, database)
    assert parsed.hosts == tuple(hosts)
    assert schema_of(dsn) == schema
    assert "password" not in {field.name for field in fields(parsed) if field.repr}


@given(
    st.text(), st.sampled_from(["", "postgres://u:", "postgres://u:p@h/", "postgresql+asyncpg://h/d?", "postgres://h:"])
)
def test_no_text_breaks_the_parser(junk: str, before: str) -> None:
    """Any text is either a DSN or a DsnError."""
    try:
        parse_dsn(before + junk)
    except DsnError as error:
        assert "expected" in str(error) or "the DSN" in str(error)


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgres://h/d", (("h", 5432),)),
        ("postgresql://h:1,i:2,j/d", (("h", 1), ("i", 2), ("j", 5432))),
        ("postgres://[::1]:7,[fe80::1]/d", (("::1", 7), ("fe80::1", 5432))),
        ("postgres:///d?host=/run/postgresql", (("/run/postgresql", 5432),)),
        ("postgres:///d?host=/run/pg&port=6", (("/run/pg", 6),)),
        ("postgres://%2Frun%2Fpg/d", (("/run/pg", 5432),)),
        ("postgres:///d?host=h,i&port=1,2", (("h", 1), ("i", 2))),
        ("postgres:///d?host=h,i&port=9", (("h", 9), ("i", 9))),
        ("postgres:///d", ((None, 5432),)),
    ],
)
def test_hosts(dsn: str, hosts: tuple[tuple[str | None, int], ...]) -> None:
    """Hosts are TCP names, addresses, sockets or several of them; several ask for the one that takes writes."""
    parsed = parse_dsn(dsn)
    assert parsed.hosts == hosts
    assert parsed.target_session_attrs == ("read-write" if len(hosts) > 1 else None)


@pytest.mark.parametrize(
    ("dsn", "complaint"),
    [
        ("", "not a URL"),
        ("host=h dbname=d", "not a URL"),
        ("mysql://h/d", "must begin with postgres://"),
        ("postgres+pg8000://h/d", "unknown driver"),
        ("postgres://u:SECRET@h:port/d", "host is malformed"),
        ("postgres://u:SECRET@h:0/d", "port must be"),
        ("postgres://u:SECRET@h:65536/d", "port must be"),
        ("postgres://u:SECRET@h,,i/d", "empty name"),
        ("postgres://u:SECRET@h,i/d?port=1,2,3", "2 hosts and 3 ports"),
        ("postgres://u:SEC%RET@h/d", "password has a % that"),
        ("postgres://u:SEC%ffRET@h/d", "password is not UTF-8"),
        ("postgres://u:SEC%00RET@h/d", "password has a zero byte"),
        ("postgres://u:SEC?RET@h/d", "option that is not known"),
        ("postgres://u:SEC/RET@h/d", "host is malformed"),
        ("postgres://u:SECRET@h/d?schema=x", "option that is not known"),
        ("postgres://u:SECRET@h/d?sslmode", "option that is not known"),
        ("postgres://u:SECRET@h/d?sslmode=a&sslmode=b", "gives sslmode twice"),
        ("postgres://u:SECRET@h/d?search_path=Back-end", "search_path must be"),
        ("postgres://u:SECRET@h/d?search_path=pg_temp", "search_path must be"),
        ("postgres://u:SECRET@h/d?search_path=", "search_path must be"),
        ("postgres://u:SECRET@h/d?connect_timeout=soon", "connect_timeout must be"),
    ],
)
def test_a_dsn_that_cannot_be_used(dsn: str, complaint: str) -> None:
    """The error says what is wrong and repeats no text that might be a password."""
    with pytest.raises(DsnError, match=complaint) as caught:
        make_engine(dsn)
    assert not {"SEC", "RET"} & {str(caught.value)[at : at + 3] for at in range(len(str(caught.value)))}


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setattr("galaxy_kernel.database.dsn.find_spec", lambda name: None)
    with pytest.raises(DsnError, match=r"galaxy-backend-kernel\[asyncpg\]"):
        make_engine("postgresql+asyncpg://h/d")


def test_schema() -> None:
    """The schema is the first of the search path, `backend` when there is none."""
    assert schema_of("postgres://h/d") == "backend"
    assert schema_of("postgres://h/d?search_path=ours,public") == "ours"
    assert schema_of("postgres://h/d?search_path=ours%2C%20public&sslmode=disable") == "ours"
