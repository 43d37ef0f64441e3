"""Networks of clients, as limits count them."""

from ipaddress import IPv6Address, ip_address

CLIENT, SITE, NETWORK = 64, 56, 48
"""Bits of an IPv6 address: one link, and what one subscriber gets of a provider, usually and at most (RFC 6177)."""
_IPV4_NETWORK = 3
"""Bytes of an IPv4 address that a `NETWORK` has in common: the smallest block that the Internet routes."""


def network_of(client_address: str, bits: int) -> str:
    """Return the network of a client by so many bits (whole bytes) of IPv6.

    An IPv4 address is a client and a site of its own, and its /24 the network. Anything that is not an address stands
    for itself.
    """
    try:
        address = ip_address(client_address)
    except ValueError:
        return client_address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return address.packed[: bits // 8].hex()
        address = address.ipv4_mapped
    return str(address) if bits > NETWORK else address.packed[:_IPV4_NETWORK].hex()
