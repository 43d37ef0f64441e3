"""Networks of clients, as limits count them."""

from ipaddress import IPv6Address, ip_address

CLIENT, SITE, NETWORK = 64, 56, 48
"""Bits of an IPv6 address: one link, and what one subscriber gets of a provider, usually and at most (RFC 6177)."""


def network_of(client_address: str, bits: int) -> str:
    """Return the network of a client by so many bits (whole bytes) of IPv6. An IPv4 address is a network of its own.

    Anything that is not an address stands for itself.
    """
    try:
        address = ip_address(client_address)
    except ValueError:
        return client_address
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[: bits // 8].hex()
