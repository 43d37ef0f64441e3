"""Country databases: copied, opened, checked, looked up.

What is mapped into memory is a private copy. A mapping of the operator's own file would kill the process by SIGBUS as
soon as somebody truncated that file in place, as `cp` does before it writes.
"""

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import geoip2.database
import maxminddb
from geoip2.errors import AddressNotFoundError
from maxminddb import InvalidDatabaseError

from galaxy_geo.domain import Address, parse_address, parse_country
from galaxy_geo.errors import ChangingFileError, UnusableDatabaseError

LARGEST = 1 << 30
"""Bytes: several times the largest city database, and what one copy may cost in memory."""
MOST_CHECKED = 1_000_000
"""Networks read before a database is taken: all of a country database. The free one of 400,000 takes 1 to 2 s."""
_BREATH = 256
"""Networks between two pauses for the event loop: about half a millisecond."""

Lookup = Callable[[Address], str | None]


class Identity(NamedTuple):
    """Distinguishes a file from another one at the same path."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    """Of the inode, which no tool sets back: a copy that keeps its source's times is seen all the same."""


@dataclass(frozen=True, slots=True)
class CountryDatabase:
    """An open database. Its memory is freed with its last reference."""

    type: str
    """From its metadata, for example `GeoLite2-Country`."""
    built_at: datetime | None
    """From its metadata; None where that is not a time."""
    networks: int
    """The number of networks read to check it."""
    lookup: Lookup

    def country_of(self, client_address: str) -> str | None:
        """Return the country of an address, or None where it cannot be told. Never raises."""
        address = parse_address(client_address)
        if address is None:
            return None
        try:
            return self.lookup(address)
        except Exception:  # a record past those that were checked may be broken, an IPv4 database has no IPv6
            return None


def identity_of(path: Path) -> Identity:
    """Return the identity of the file at a path. Raise OSError where there is none or it cannot be read."""
    return _identity(path.stat())


def open_database(path: Path) -> CountryDatabase:
    """Open the file at a path, and check it. Blocks for seconds, so run it in a thread.

    Raise OSError where it cannot be read, UnusableDatabaseError where it is not a country database, or a broken one.
    """
    with _private_copy(path) as copy:
        try:
            return _checked(copy)
        except UnusableDatabaseError:
            raise
        except InvalidDatabaseError:
            raise UnusableDatabaseError("is not a MaxMind DB file, or is corrupt or truncated") from None
        except Exception as error:
            raise UnusableDatabaseError(f"cannot be read as a MaxMind DB file ({type(error).__name__})") from None


def _checked(copy: str) -> CountryDatabase:
    reader = maxminddb.open_database(copy)
    metadata = reader.metadata()
    networks, countries, lookup = 0, 0, None
    for _, record in reader:
        networks += 1
        if lookup is None:
            lookup = _lookup_for(record, copy, reader, metadata.database_type)
        countries += _country_in(record) is not None
        if networks == MOST_CHECKED:
            break
        if networks % _BREATH == 0:
            time.sleep(0)
    if lookup is None or not countries:
        raise UnusableDatabaseError(f"holds no countries (its type is {metadata.database_type!r})")
    return CountryDatabase(metadata.database_type, _time(metadata.build_epoch), networks, lookup)


def _lookup_for(record: object, copy: str, reader: maxminddb.Reader, database_type: str) -> Lookup | None:
    """Return the look-up function for a database with this record; None: the record does not show its schema."""
    if not isinstance(record, dict):
        return None
    if "country_code" in record:
        return _flat(reader)
    if any(isinstance(record.get(part), dict) for part in ("country", "registered_country", "continent")):
        return _maxmind(geoip2.database.Reader(copy), database_type)
    return None


def _flat(reader: maxminddb.Reader) -> Lookup:
    get = reader.get

    def lookup(address: Address) -> str | None:
        return _country_in(get(address))

    return lookup


def _maxmind(reader: geoip2.database.Reader, database_type: str) -> Lookup:
    methods = {"Country": reader.country, "City": reader.city, "Enterprise": reader.enterprise}
    method = next((method for name, method in methods.items() if name in database_type), None)
    if method is None:
        raise UnusableDatabaseError(f"is of the type {database_type!r}, not a country database for geoip2")

    def lookup(address: Address) -> str | None:
        try:
            return parse_country(method(str(address)).country.iso_code)
        except AddressNotFoundError:
            return None

    return lookup


def _country_in(record: object) -> str | None:
    """Return the country of a record of either schema."""
    if not isinstance(record, dict):
        return None
    country = record.get("country")
    return parse_country(country.get("iso_code") if isinstance(country, dict) else record.get("country_code"))


def _time(epoch: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(epoch, UTC)
    except (OverflowError, ValueError, OSError):
        return None


@contextmanager
def _private_copy(path: Path) -> Iterator[str]:
    """Copy a file privately, and return a path that names the copy within the block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not block
    with open(descriptor, "rb", buffering=0) as source, _nameless_file() as (copy, name):  # noqa: PTH123 # a descriptor
        identity = _copyable(os.fstat(descriptor))
        with open(copy, "wb", closefd=False) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        if _identity(os.fstat(descriptor)) != identity or os.fstat(copy).st_size != identity.size:
            raise ChangingFileError("is being written just now")
        yield name


@contextmanager
def _nameless_file() -> Iterator[tuple[int, str]]:
    """Return the descriptor of a file that is deleted with its last user, and a path that opens it until then."""
    if sys.platform == "linux":  # in memory: it needs no writable directory
        descriptor = os.memfd_create("galaxy-geo")
        try:
            yield descriptor, f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile(prefix="galaxy-geo-") as file:
            yield file.fileno(), file.name


def _copyable(found: os.stat_result) -> Identity:
    if not stat.S_ISREG(found.st_mode):
        raise UnusableDatabaseError("is not a regular file")
    if found.st_size > LARGEST:
        raise UnusableDatabaseError(f"is larger than {LARGEST >> 20} MiB")
    return _identity(found)


def _identity(found: os.stat_result) -> Identity:
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
