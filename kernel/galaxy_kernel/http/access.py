"""Establishes who calls, for every request, before its body is read (SPEC K-13)."""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NoReturn

from multidict import CIMultiDict, CIMultiDictProxy, istr

from galaxy_chassis.http.client_address import (
    FORWARDING,
    Network,
    TrustedPeers,
    is_private,
    leftmost,
    nearest_untrusted,
    parse_address,
)
from galaxy_chassis.http.problems import Problem
from galaxy_chassis.request_context import new_request_id
from galaxy_contracts.access import (
    ADMIN_AUTHENTICATOR,
    AUDIT_LOG,
    USER_AUTHENTICATOR,
    AdminIdentity,
    AuditLog,
    UserIdentity,
)
from galaxy_contracts.capability import Capability
from galaxy_kernel.capabilities import CapabilityRegistry
from galaxy_kernel.http.route import Route

GATEWAY_HEADER = istr("X-Gateway-Token")
_AUTHORIZATION, _FORWARDED_FOR, _REQUEST_ID = istr("Authorization"), istr("X-Forwarded-For"), istr("X-Request-Id")
_FORWARDING = tuple(map(istr, FORWARDING))
_well_formed = re.compile(r"[A-Za-z0-9._-]{8,64}").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_BEARER = {"WWW-Authenticate": "Bearer"}
_BASIC = {"WWW-Authenticate": 'Basic realm="galaxy", charset="UTF-8"'}


Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class Trust(IntEnum):
    """How far a caller is believed about the request that it forwards."""

    NONE = 0
    """Not at all: it is the client."""
    PROXY = 1
    """A peer of `BACKEND_TRUSTED_PROXIES`: about whom it has the request from, and about request id and trace."""
    GATEWAY = 2
    """It has the gateway's token: it overwrites what clients send, so its headers are true as they stand."""


class AccessControl:
    """The three authenticators, and the client address and request id, which a trusted caller may set."""

    def __init__(
        self,
        services: CapabilityRegistry,
        *,
        gateway_token: str | None = None,
        trusted_proxies: Sequence[Network] = (),
        admin_networks: Sequence[Network] = (),
    ) -> None:
        self._services = services
        self._gateway_token = gateway_token.encode() if gateway_token else None
        self._trusted = TrustedPeers(trusted_proxies)
        self._operators = TrustedPeers(admin_networks) if admin_networks else None

    def trust(self, headers: Mapping[str, str], peer: str) -> Trust:
        """Return how far the caller is trusted."""
        if self._shows_gateway_token(headers):
            return Trust.GATEWAY
        return Trust.PROXY if self._trusted.contains(peer) else Trust.NONE

    def client_address(self, headers: Headers, peer: str, trust: Trust) -> str:
        """Return the client's address.

        From the gateway, the leftmost `X-Forwarded-For`; from a proxy, which may append to what the client sent, the
        first from the right that is not a trusted proxy; else, and where the header is malformed, the peer's.
        """
        address = None
        if trust is not Trust.NONE and _FORWARDED_FOR in headers:
            if trust is Trust.GATEWAY:
                address = leftmost(headers[_FORWARDED_FOR])
            else:
                address = nearest_untrusted(headers.getall(_FORWARDED_FOR), self._trusted.contains)
        return address or parse_address(peer) or peer

    def sees_details(self, headers: Headers, peer: str) -> bool:
        """Return whether the caller may see what is for operators: it has the gateway's token, or a private address.

        What an unknown proxy forwards is a stranger's, from whatever network the proxy itself is.
        """
        trust = self.trust(headers, peer)
        if trust is Trust.GATEWAY:
            return True
        if trust is Trust.NONE and any(name in headers for name in _FORWARDING):
            return False
        return is_private(self.client_address(headers, peer, trust))

    def request_id(self, headers: Mapping[str, str], *, trusted: bool) -> str:
        """Return the id a trusted caller has chosen, if it is well formed, else a fresh one."""
        if trusted:
            given = headers.get(_REQUEST_ID)
            if given is not None and _well_formed(given):
                return given
        return new_request_id()

    def user(self, headers: Mapping[str, str], client_address: str) -> UserIdentity:
        """Return the player behind the bearer token. Raise 401 `unauthenticated` or 403 `access_closed`."""
        authenticator = self._services.find(USER_AUTHENTICATOR)
        if authenticator is None:
            _refuse_without(USER_AUTHENTICATOR, "user")
        scheme, _, token = headers.get(_AUTHORIZATION, "").partition(" ")
        token = token.strip()
        if token and scheme.lower() == "bearer":
            identity = authenticator.authenticate(token, client_address=client_address)
            if identity is not None:
                return identity
        raise Problem(
            401,
            "unauthenticated",
            "This operation needs a session: send Authorization: Bearer with a session token that is still good.",
            headers=_BEARER,
        )

    def internal(self, headers: Mapping[str, str]) -> None:
        """Authenticate the gateway. Raise 401 `gateway_token_required` or 403 `access_closed`."""
        if self._gateway_token is None:
            raise Problem(
                403, "access_closed", "Internal operations are closed here: set BACKEND_GATEWAY_TOKEN to open them."
            )
        if not self._shows_gateway_token(headers):
            raise Problem(
                401,
                "gateway_token_required",
                f"This operation is the gateway's: send its token in {GATEWAY_HEADER}.",
                headers={"WWW-Authenticate": GATEWAY_HEADER},
            )

    async def admin(self, headers: Mapping[str, str], route: Route, client_address: str) -> AdminIdentity:
        """Return the operator behind HTTP Basic (RFC 7617).

        Raise 403 `network_refused` outside of `BACKEND_ADMIN_NETWORKS`, 401 `unauthenticated` or 403 `access_closed`.
        """
        if self._operators is not None and not self._operators.contains(client_address):
            raise Problem(
                403,
                "network_refused",
                "Operations of access 'admin' are closed to this network: BACKEND_ADMIN_NETWORKS.",
            )
        authenticator = self._services.find(ADMIN_AUTHENTICATOR)
        if authenticator is None:
            _refuse_without(ADMIN_AUTHENTICATOR, "admin")
        credentials = parse_basic(headers.get(_AUTHORIZATION, ""))
        if credentials is not None:
            identity = await authenticator.authenticate(*credentials, route=route.name, client_address=client_address)
            if identity is not None:
                return identity
        raise Problem(
            401,
            "unauthenticated",
            "This operation needs an operator: send HTTP Basic credentials of an admin account.",
            headers=_BASIC,
        )

    def audit_log(self) -> AuditLog | None:
        """Return the audit log, if a plugin provides one."""
        return self._services.find(AUDIT_LOG)

    def _shows_gateway_token(self, headers: Mapping[str, str]) -> bool:
        shown = headers.get(GATEWAY_HEADER)
        if shown is None or self._gateway_token is None:
            return False
        return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._gateway_token)


def parse_basic(header: str) -> tuple[str, str] | None:
    """Return user name and password of an `Authorization` header, or None when it is not well-formed Basic."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    username, colon, password = text.partition(":")
    if not colon or not username or _CONTROL.search(text):
        return None
    return username, password


def _refuse_without(capability: Capability[Any], access: str) -> NoReturn:
    raise Problem(
        403,
        "access_closed",
        f"Operations of access {access!r} are closed here, since nothing provides {capability.name!r}: install and "
        f"enable galaxy-backend-{capability.plugin} to open them.",
    )
