"""Addresses, countries and counters. No I/O."""

import re
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from uuid import UUID

import msgspec

UNKNOWN = "ZZ"
"""The code for an unknown country: ISO 3166-1 leaves `ZZ` to its users, and CLDR uses it so."""

Address = IPv4Address | IPv6Address

_CODE = re.compile(r"[A-Za-z]{2}", re.ASCII)
_LONGEST = 45
"""Characters of the longest IPv6 address, one that ends in an IPv4 address (RFC 4291, 2.2)."""


class Counted(msgspec.Struct):
    """Requests of one account from one country that are not written yet."""

    requests: int
    last_seen_at: datetime


Key = tuple[UUID, str]
"""Account and country."""


class CountrySummary(msgspec.Struct, frozen=True):
    """The counters of one country over all accounts."""

    country: str
    accounts: int
    requests: int
    last_seen_at: datetime


def parse_address(text: str) -> Address | None:
    """Return a client's address, or None for anything else.

    An IPv4 address mapped into IPv6 is the IPv4 one, since not every database has it under both. An address with a zone
    is refused: it has no meaning beyond its own network.
    """
    if len(text) > _LONGEST:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or (None if address.scope_id is not None else address)


def parse_country(value: object) -> str | None:
    """Return a country's code (ISO 3166-1 alpha-2) from a database's value, or None for anything else."""
    if not isinstance(value, str) or _CODE.fullmatch(value) is None:
        return None
    code = value.upper()
    return None if code == UNKNOWN else code
