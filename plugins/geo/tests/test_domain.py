"""Addresses and codes."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_geo.domain import parse_address, parse_country


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    """Any text is an address that can be looked up, or None; nothing raises."""
    found = parse_address(text)
    if found is not None:
        assert ip_address(text) in (found, IPv6Address(f"::ffff:{found}") if found.version == 4 else found)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_every_address_is_read(address: IPv4Address | IPv6Address) -> None:
    """An address in any of its spellings is that address, or the IPv4 one that it stands for."""
    expected = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    assert parse_address(str(address)) == parse_address(address.exploded) == expected


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_ipv4_one(address: IPv4Address) -> None:
    """A client has one country, whichever socket it came through."""
    assert parse_address(f"::ffff:{address}") == address


@pytest.mark.parametrize("text", ["", "unknown", "1.2.3", "1.2.3.4:80", "[::1]", "fe80::1%eth0", "1.2.3.4\0", "1" * 99])
def test_what_is_no_address_is_none(text: str) -> None:
    """Ports, brackets, zones and rubbish have no country."""
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("value", "country"),
    [("AT", "AT"), ("at", "AT"), ("ZZ", None), ("", None), ("AUT", None), ("A1", None), ("ÄÖ", None), (None, None)],
)
def test_countries_are_two_letters(value: object, country: str | None) -> None:
    """Anything but a code of two letters, and the code for unknown, is not a country."""
    assert parse_country(value) == country


@given(st.one_of(st.text(), st.integers(), st.binary(), st.dictionaries(st.text(), st.text())))
def test_any_value_is_a_country_or_none(value: object) -> None:
    """Whatever a database holds, a country fits the table's check."""
    country = parse_country(value)
    assert country is None or (len(country) == 2 and country.isascii() and country.isupper())
