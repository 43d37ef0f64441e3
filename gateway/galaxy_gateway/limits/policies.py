"""Policies, and which of them count a request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from galaxy_chassis.http.connections import network_of
from galaxy_gateway.limits.settings import LimitSettings
from galaxy_gateway.store.store import Demand

MINUTE, HOUR = 60, 3600
_MICROSECONDS = 1_000_000
_GAME = "/api/v1/user/games/[^/]+"


@dataclass(frozen=True, slots=True)
class Policy:
    """A quota in a window of so many seconds.

    A full allowance can be spent at once, and refills evenly: at most twice the quota is spent in any one window.
    """

    name: str
    quota: int
    """0 where nothing counts."""
    window: int
    interval: int = field(init=False, compare=False)
    """Microseconds in which one unit refills, rounded up: never more than the quota in a window."""

    def __post_init__(self) -> None:
        interval = -(-self.window * _MICROSECONDS // self.quota) if self.quota else 0
        object.__setattr__(self, "interval", interval)

    def __hash__(self) -> int:
        return hash(self.name)

    def demand(self, key: str) -> Demand:
        """Return the demand of one request."""
        return Demand(key, self.interval, self.quota * self.interval)

    def left(self, debt: int) -> int:
        """Return the units left at a debt."""
        return self.quota - self._spent(debt)

    def wait(self, debt: int) -> int:
        """Return the microseconds until one more unit is left than at this debt; 0 when all are."""
        return debt - max(self._spent(debt) - 1, 0) * self.interval

    def _spent(self, debt: int) -> int:
        return -(-debt // self.interval)


@dataclass(frozen=True, slots=True)
class _RouteClass:
    """Routes that have a policy of their own, by method and path as it came: the backend decodes no path either."""

    policy: Policy
    methods: frozenset[str]
    path: re.Pattern[str]
    by_account: bool


class Policies:
    """The policies that the settings ask for."""

    def __init__(self, settings: LimitSettings) -> None:
        self._address = Policy("address", settings.address, MINUTE)
        self._account = Policy("account", settings.account, MINUTE)
        self._classes = tuple(each for each in _classes(settings) if each.policy.quota)

    def of_address(self, address: str) -> Mapping[Policy, str]:
        """Return the policy that counts every request of an address, with the name under which it does."""
        return {self._address: network_of(address)} if self._address.quota else {}

    def of(self, method: str, path: str, address: str, account_id: str | None) -> Mapping[Policy, str]:
        """Return the policies that count a request, each with the name under which it does.

        `path` is the path as it came, without its query.
        """
        network = network_of(address)
        keys = {self._address: network} if self._address.quota else {}
        if self._account.quota and account_id is not None:
            keys[self._account] = account_id
        for each in self._classes:
            if method in each.methods and each.path.fullmatch(path):
                keys[each.policy] = account_id if each.by_account and account_id is not None else network
        return keys


def _classes(settings: LimitSettings) -> tuple[_RouteClass, ...]:
    def route_class(policy: Policy, methods: str, path: str, *, by_account: bool = True) -> _RouteClass:
        return _RouteClass(policy, frozenset(methods.split()), re.compile(path), by_account)

    auth = "/api/v1/public/auth"
    codes, sign_ins = Policy("codes", settings.codes, HOUR), Policy("sign-ins", settings.sign_ins, HOUR)
    engine = Policy("engine", settings.engine, MINUTE)
    return (
        route_class(codes, "POST", f"{auth}/send-email-code", by_account=False),
        route_class(sign_ins, "POST", f"{auth}/confirm-email-code", by_account=False),
        route_class(Policy("games", settings.games, HOUR), "POST", "/api/v1/user/games"),
        route_class(Policy("orders", settings.orders, MINUTE), "PUT", f"{_GAME}/orders"),
        route_class(engine, "POST", f"{_GAME}/orders/validate"),
        route_class(engine, "GET HEAD", f"{_GAME}/orders/options"),
    )
