"""Country databases: both schemas, what is refused, and the private copy."""

import gc
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from galaxy_geo.databases import identity_of, open_database
from galaxy_geo.errors import ChangingFileError, UnusableDatabaseError

Write = Callable[..., Path]

SCHEMAS = [
    ("flat", "country ipvAll"),
    ("maxmind", "GeoLite2-Country"),
    ("maxmind", "GeoIP2-City"),
    ("maxmind", "GeoIP2-Enterprise"),
    ("maxmind", "DBIP-Country-Lite"),
]
"""The ways a record is made, and types of databases that have such records."""
EXPECTED = {
    "192.0.2.1": "AT",
    "198.51.100.255": "DE",
    "203.0.113.127": "US",
    "203.0.113.128": None,
    "::ffff:192.0.2.1": "AT",
    "2001:db8::1": "AT",
    "2001:db8:1:ffff::": "JP",
    "2001:db8:2::": None,
    "rubbish": None,
    "": None,
}


@pytest.mark.parametrize(("record", "database_type"), SCHEMAS)
def test_both_schemas_tell_countries(write: Write, tmp_path: Path, record: str, database_type: str) -> None:
    """Of MaxMind's and of the flat schema, IPv4 and IPv6 have their countries, and anything else has none."""
    database = open_database(write(tmp_path / "db.mmdb", record=record, database_type=database_type))
    assert {address: database.country_of(address) for address in EXPECTED} == EXPECTED
    assert database.type == database_type


def test_a_database_says_when_it_was_built(path: Path) -> None:
    """The date of the data is shown."""
    built_at = open_database(path).built_at
    assert built_at is not None
    assert abs(datetime.now(UTC) - built_at) < timedelta(minutes=1)


def test_an_ipv4_database_has_no_ipv6(write: Write, tmp_path: Path) -> None:
    """A database of one family knows nothing of the other, and raises nothing."""
    database = open_database(write(tmp_path / "db.mmdb", {"192.0.2.0/24": "AT"}, ip_version=4))
    assert [database.country_of(each) for each in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1")] == [
        "AT",
        "AT",
        None,
    ]


def test_a_record_without_a_country_tells_none(write: Write, tmp_path: Path) -> None:
    """MaxMind has networks of a continent alone; where a network is registered is not where its clients are."""
    networks = {"192.0.2.0/24": "AT", "198.51.100.0/24": None}

    def record(country: str | None) -> Any:
        only = {"continent": {"code": "EU"}, "registered_country": {"iso_code": "FR"}}
        return only | {"country": {"iso_code": country}} if country else only

    database = open_database(write(tmp_path / "db.mmdb", networks, record=record, database_type="GeoLite2-Country"))
    assert (database.country_of("192.0.2.1"), database.country_of("198.51.100.1")) == ("AT", None)


@pytest.mark.parametrize("cut", [0, 1, 100, -1, -200])
def test_a_truncated_file_is_refused(path: Path, cut: int) -> None:
    """A truncated database is refused, wherever it was cut."""
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    with pytest.raises(UnusableDatabaseError):
        open_database(path)


def test_a_corrupt_tree_is_refused(path: Path) -> None:
    """A file whose metadata is good and whose search tree is not is refused before it is used."""
    content = bytearray(path.read_bytes())
    content[100:400] = b"\xff" * 300
    path.write_bytes(content)
    with pytest.raises(UnusableDatabaseError, match="corrupt"):
        open_database(path)


def test_every_corruption_is_refused_or_harmless(path: Path) -> None:
    """A database with any overwritten part is refused, or looks up countries without raising."""
    content = path.read_bytes()
    refused = 0
    for start in range(0, len(content), 61):
        path.write_bytes(content[:start] + b"\xa5" * 40 + content[start + 40 :])
        try:
            database = open_database(path)
        except UnusableDatabaseError:
            refused += 1
        else:
            assert all(database.country_of(each) is None or database.country_of(each) for each in EXPECTED)
    assert refused > len(content) // 61 // 2


@pytest.mark.parametrize(
    ("record", "database_type", "reason"),
    [
        (lambda country: {"autonomous_system_number": 1}, "GeoLite2-ASN", "no countries"),
        (lambda country: {"country_code": "none"}, "country", "no countries"),
        (lambda country: country, "strings", "no countries"),
        ("maxmind", "Some-Unheard-Of", "geoip2"),
    ],
)
def test_other_databases_are_refused(
    write: Write, tmp_path: Path, record: Any, database_type: str, reason: str
) -> None:
    """A database without countries, or of a type that geoip2 does not know, is refused with its type."""
    with pytest.raises(UnusableDatabaseError, match=reason) as caught:
        open_database(write(tmp_path / "db.mmdb", record=record, database_type=database_type))
    assert database_type in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, a FIFO without a writer and a text file are refused at once."""
    fifo, text = tmp_path / "fifo", tmp_path / "text"
    os.mkfifo(fifo)
    text.write_text("<html>Not found</html>")
    for path, error in ((tmp_path, (UnusableDatabaseError, IsADirectoryError)), (fifo, UnusableDatabaseError)):
        with pytest.raises(error):
            open_database(path)
    with pytest.raises(UnusableDatabaseError, match="MaxMind DB"):
        open_database(text)


def test_a_file_that_is_written_meanwhile_is_left_for_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of two halves of two databases is never used."""
    copy = "galaxy_geo.databases.shutil.copyfileobj"

    def writing(source: Any, target: Any, length: int) -> None:
        target.write(source.read())
        path.write_bytes(path.read_bytes() + b"more")

    monkeypatch.setattr(copy, writing)
    with pytest.raises(ChangingFileError):
        open_database(path)


def test_truncating_the_file_in_place_does_no_harm(path: Path) -> None:
    """The open database is a copy: the file may be cut to nothing under it."""
    database = open_database(path)
    os.truncate(path, 0)
    assert {address: database.country_of(address) for address in EXPECTED} == EXPECTED


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_database_nobody_holds_gives_its_memory_back(path: Path) -> None:
    """Reloading for months leaves neither descriptors nor mappings behind."""
    held = open_database(path)
    maps = Path("/proc/self/maps")
    assert "galaxy-geo" in maps.read_text()
    del held
    gc.collect()
    assert "galaxy-geo" not in maps.read_text()
    assert not [link for link in Path("/proc/self/fd").iterdir() if "galaxy-geo" in _target(link)]


def test_an_identity_tells_replaced_and_rewritten_files(path: Path) -> None:
    """A file of the same size and times is another one once its inode was written to."""
    before = identity_of(path)
    assert identity_of(path) == before
    stat = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert identity_of(path) != before


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # the descriptor of the listing itself
        return ""
