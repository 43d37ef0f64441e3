"""Where a request comes from (SPEC K-13)."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import islice

from galaxy_chassis.errors import Fault

Network = IPv4Network | IPv6Network

FORWARDING = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP")
"""Headers that a proxy adds: whoever sends one speaks for somebody else."""
WIDEST_TRUST = 8
"""Bits of the widest network whose members one trusts."""
_LONGEST = 60
"""More than the longest address with brackets and port."""
_PRIVATE = tuple(
    ip_network(text)
    for text in (
        *("127.0.0.0/8", "::1/128"),  # RFC 1122, 3.2.1.3; RFC 4291, 2.5.3
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),  # RFC 1918; RFC 4193
        *("169.254.0.0/16", "fe80::/10"),  # RFC 3927; RFC 4291, 2.5.6
    )
)
_MOST_PROXIES = 32
"""Entries of an `X-Forwarded-For` that are looked at."""


@lru_cache(maxsize=8192)
def parse_address(text: str) -> str | None:
    """Return an address in its canonical form, or None for anything else.

    An IPv4 address mapped into IPv6 becomes IPv4, so that one client has one address. A port after the
    address, as some proxies write it, is cut off; a zone is refused, since it means nothing on another machine.
    """
    text = text.strip()
    if len(text) > _LONGEST or "%" in text:
        return None
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(":" + port):
            return None
    try:
        return str(_unmapped(ip_address(text)))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def is_private(address: str) -> bool:
    """Return whether an address is of this machine or of a network that the internet does not reach."""
    known = parse_address(address)
    return known is not None and any(ip_address(known) in network for network in _PRIVATE)


def leftmost(forwarded_for: str) -> str | None:
    """Return the first address of an `X-Forwarded-For` that its sender wrote itself; None when it is malformed."""
    return _entry(forwarded_for.partition(",")[0])


def nearest_untrusted(lines: Sequence[str], trusts: Callable[[str], bool]) -> str | None:
    """Return the client's address from an `X-Forwarded-For` to which proxies append; None when it is malformed.

    From the right, over all lines of the header: what a trusted proxy has seen is true, and what stands left of the
    first address that is not a trusted proxy's was written by whoever has that address (RFC 7239, 8.1). Where all are
    trusted, the client is the leftmost.
    """
    found = None
    for entry in islice(_from_the_right(lines), _MOST_PROXIES):
        address = _entry(entry)
        if address is None:
            return None
        if not trusts(address):
            return address
        found = address
    return found


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    for line in reversed(lines):
        rest = line
        while True:
            rest, comma, entry = rest.rpartition(",")
            yield entry
            if not comma:
                break


def _entry(text: str) -> str | None:
    return parse_address(text) if len(text) <= _LONGEST else None  # before the cache, which would keep it


def trust_warnings(variable: str, networks: Sequence[Network]) -> list[Fault]:
    """Return what is wrong with trusting all members of these networks: some are wider than 10.0.0.0/8."""
    wide = [str(network) for network in networks if network.prefixlen < WIDEST_TRUST]
    if not wide:
        return []
    reason = f"{', '.join(wide)} is wider than /{WIDEST_TRUST}: everybody there chooses their client address"
    return [Fault(variable, reason)]


class TrustedPeers:
    """The networks whose members are trusted to name the client for whom they forward."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self.contains = lru_cache(maxsize=4096)(self._contains)

    def _contains(self, peer: str) -> bool:
        address = parse_address(peer)
        if address is None:
            return False
        known = ip_address(address)
        written = [known] if isinstance(known, IPv6Address) else [known, IPv6Address(f"::ffff:{known}")]
        return any(one in network for one in written for network in self._networks)


def _is_port(text: str) -> bool:
    return text[:1] == ":" and text[1:].isascii() and text[1:].isdigit() and int(text[1:]) <= 65535


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
