"""Where a request comes from (SPEC K-13)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from galaxy_chassis.http.client_address import TrustedPeers, is_private, leftmost, nearest_untrusted, parse_address
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.http.access import AccessControl, Trust

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.text(max_size=80))
def test_any_text_is_an_address_in_canonical_form_or_none(text: str) -> None:
    """Whatever is accepted as an address is one, and reading it again changes nothing."""
    found = parse_address(text)
    if found is not None:
        ip_address(found)
        assert parse_address(found) == found


@given(ADDRESSES, st.integers(0, 65535))
def test_an_address_is_read_with_and_without_a_port(address: IPv4Address | IPv6Address, port: int) -> None:
    """`1.2.3.4:80` and `[::1]:80` name the same client as without the port."""
    with_port = f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
    assert parse_address(with_port) == parse_address(str(address)) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_clothes_is_the_ipv4_address(address: IPv4Address) -> None:
    """One client has one address, whichever socket it came through."""
    assert parse_address(f"::ffff:{address}") == str(address)


@given(ADDRESSES, st.lists(st.text(max_size=20), max_size=3))
def test_the_leftmost_address_is_taken_whatever_follows(address: IPv4Address | IPv6Address, rest: list[str]) -> None:
    """Only the first entry counts."""
    assert leftmost(", ".join([str(address), *rest])) == parse_address(str(address))


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4:x", "fe80::1%eth0", "[::1", "[::1]x", "1.2.3.4 5"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    """Obfuscated identifiers (RFC 7239, 6.3), zones and rubbish are not accepted."""
    assert leftmost(text) is None


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("172.32.0.1", False),
        ("::ffff:192.168.1.1", True),
        ("fd00::1", True),
        ("fe80::1", True),
        ("203.0.113.9", False),
        ("2001:db8::1", False),
        ("", False),
    ],
)
def test_private_addresses_are_those_that_the_internet_does_not_reach(address: str, private: bool) -> None:
    """This machine, private networks and links, of both families."""
    assert is_private(address) is private


def test_what_is_too_long_for_an_address_is_not_remembered() -> None:
    """Behind a proxy that appends, clients write the leftmost entry: they must not fill the memory with it."""
    before = parse_address.cache_info().misses
    assert leftmost("1" * 8000) is None
    assert parse_address.cache_info().misses == before


PROXIES = TrustedPeers([ip_network("10.0.0.0/8"), ip_network("fd00::/8")]).contains


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["192.0.2.1, 203.0.113.9"], "203.0.113.9"),
        (["192.0.2.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (["192.0.2.1", "203.0.113.9, 10.0.0.2", "fd00::1"], "203.0.113.9"),
        (["203.0.113.9", "10.0.0.2:80", "[fd00::1]:80"], "203.0.113.9"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["192.0.2.1, 10.0.0.9, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, unknown"], None),
        (["203.0.113.9, "], None),
        (["unknown, 203.0.113.9"], "203.0.113.9"),
        ([""], None),
        ([], None),
        (["203.0.113.9" + ", 10.0.0.2" * 31], "203.0.113.9"),
    ],
)
def test_behind_proxies_that_append_the_client_is_the_nearest_that_is_no_proxy(
    lines: list[str], client: str | None
) -> None:
    """What stands left of the first address that is not trusted is not believed, on whatever line."""
    assert nearest_untrusted(lines, PROXIES) == client


@given(st.lists(st.text(alphabet="0123456789.:,abf% ", max_size=60), max_size=3), st.ip_addresses(v=4))
def test_what_a_client_sends_never_changes_the_address_its_proxy_appends(lies: list[str], seen: IPv4Address) -> None:
    """A proxy appends to the last line, or adds a line: the client's own text in front of it counts for nothing."""
    if not PROXIES(str(seen)):
        appended = [*lies[:-1], f"{lies[-1]}, {seen}"] if lies else [str(seen)]
        assert nearest_untrusted(appended, PROXIES) == nearest_untrusted([*lies, str(seen)], PROXIES) == str(seen)


def test_a_long_chain_is_looked_at_within_bounds() -> None:
    """The work for a header does not grow with it."""
    looked: list[str] = []
    nearest_untrusted([", ".join(["10.0.0.1"] * 800)] * 100, lambda peer: looked.append(peer) is None)
    assert len(looked) == 32


@pytest.mark.parametrize(
    ("networks", "peer", "trusted"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["::ffff:10.0.0.0/104"], "10.1.2.3", True),
        (["fd00::/8"], "fd12::1", True),
        (["10.0.0.0/8", "fd00::/8"], "11.0.0.1", False),
        (["fd00::/8"], "10.0.0.1", False),
        (["fd00::/8"], "2001:db8::1", False),
        (["10.0.0.0/8"], "2001:db8::1", False),
        (["10.0.0.0/8", "fd00::/8"], "fd00::1", True),
        ([], "127.0.0.1", False),
        (["0.0.0.0/0"], "", False),
    ],
)
def test_peers_are_trusted_by_network(networks: list[str], peer: str, trusted: bool) -> None:
    """CIDRs of either family, and mapped addresses, are understood."""
    assert TrustedPeers([ip_network(network) for network in networks]).contains(peer) is trusted


@given(st.text(max_size=60), ADDRESSES)
def test_an_untrusted_caller_is_never_believed(forwarded: str, peer: IPv4Address | IPv6Address) -> None:
    """Without trust the address is the peer's, whatever `X-Forwarded-For` says."""
    access = AccessControl(CapabilityRegistry())
    address = access.client_address(CIMultiDict({"X-Forwarded-For": forwarded}), str(peer), Trust.NONE)
    assert address == parse_address(str(peer))


@given(st.text(alphabet="0123456789.:,abf% ", max_size=60))
def test_a_malformed_header_falls_back_to_the_peer(forwarded: str) -> None:
    """A trusted caller's header gives its leftmost address, or else the peer's address."""
    address = AccessControl(CapabilityRegistry()).client_address(
        CIMultiDict({"X-Forwarded-For": forwarded}), "192.0.2.1", Trust.GATEWAY
    )
    assert address == (leftmost(forwarded) or "192.0.2.1")
