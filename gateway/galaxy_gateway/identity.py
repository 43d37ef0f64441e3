"""What a request says of its sender: the address and the token."""

import re
from collections.abc import Mapping

from multidict import CIMultiDictProxy, istr

from galaxy_chassis.http.client_address import TrustedPeers, nearest_untrusted, parse_address

LONGEST_TOKEN = 512
"""Characters of a token; what is longer is none of ours."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*").fullmatch
_AUTHORIZATION, _FORWARDED_FOR = istr("Authorization"), istr("X-Forwarded-For")


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the token of an `Authorization: Bearer` header (RFC 6750, 2.1)."""
    scheme, _, token = headers.get(_AUTHORIZATION, "").partition(" ")
    return well_formed(token.strip()) if scheme.lower() == "bearer" else None


def well_formed(token: str | None) -> str | None:
    """Return a token, wherever it came from, if it can be one (RFC 6750, 2.1: b64token); else None."""
    return token if token and len(token) <= LONGEST_TOKEN and _TOKEN(token) else None


def client_address(headers: CIMultiDictProxy[str], peer: str, proxies: TrustedPeers) -> str:
    """Return the client's address: the peer's, or what a trusted proxy says it is."""
    if proxies.contains(peer):
        lines = headers.getall(_FORWARDED_FOR, ())
        address = nearest_untrusted(lines, proxies.contains) if lines else None
        if address is not None:
            return address
    return parse_address(peer) or peer
