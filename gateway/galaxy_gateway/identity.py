"""What a request says of its sender: the address and the token."""

from collections.abc import Mapping

from multidict import CIMultiDictProxy, istr

from galaxy_chassis.http.client_address import TrustedPeers, nearest_untrusted, parse_address

LONGEST_TOKEN = 512
"""Characters of a token; what is longer is none of ours."""
_AUTHORIZATION, _FORWARDED_FOR = istr("Authorization"), istr("X-Forwarded-For")


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the token of an `Authorization: Bearer` header (RFC 6750, 2.1)."""
    scheme, _, token = headers.get(_AUTHORIZATION, "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    return token


def client_address(headers: CIMultiDictProxy[str], peer: str, proxies: TrustedPeers) -> str:
    """Return the client's address: the peer's, or what a trusted proxy says it is."""
    if proxies.contains(peer):
        lines = headers.getall(_FORWARDED_FOR, ())
        address = nearest_untrusted(lines, proxies.contains) if lines else None
        if address is not None:
            return address
    return parse_address(peer) or peer
