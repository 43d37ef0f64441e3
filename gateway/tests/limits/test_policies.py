"""Policies, and which of them count a request."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.http.connections import network_of
from galaxy_gateway.limits.policies import Policies, Policy
from galaxy_gateway.limits.settings import LimitSettings

PLAYER, HOME = "019a-player", "203.0.113.7"
GAME = "/api/v1/user/games/019a-game"


def counted(method: str, path: str, account_id: str | None = PLAYER, **settings: int) -> dict[str, str]:
    """Return the names of the policies that count a request, and for whom."""
    found = Policies(LimitSettings(**settings)).of(method, path, HOME, account_id)
    return {policy.name: key for policy, key in found.items()}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/api/v1/user/games", "games"),
        ("PUT", f"{GAME}/orders", "orders"),
        ("POST", f"{GAME}/orders/validate", "engine"),
        ("GET", f"{GAME}/orders/options", "engine"),
        ("HEAD", f"{GAME}/orders/options", "engine"),
    ],
)
def test_a_class_of_routes_counts_by_account(method: str, path: str, name: str) -> None:
    """What is dear has a policy beside those of everything; without an account the address stands for it."""
    assert counted(method, path) == {"address": HOME, "account": PLAYER, name: PLAYER}
    assert counted(method, path, None) == {"address": HOME, name: HOME}


@pytest.mark.parametrize(
    ("path", "name"),
    [("/api/v1/public/auth/send-email-code", "codes"), ("/api/v1/public/auth/confirm-email-code", "sign-ins")],
)
def test_signing_in_counts_by_address(path: str, name: str) -> None:
    """Whoever sends a session along with it."""
    assert counted("POST", path, None) == {"address": HOME, name: HOME}
    assert counted("POST", path)[name] == HOME


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/user/games"),
        ("POST", "/api/v1/user/games/"),
        ("GET", f"{GAME}/orders"),
        ("PUT", f"{GAME}/x/orders"),
        ("PUT", "/api/v1/user/games//orders"),
        ("POST", "/api/v1/public/auth/send-email-codes"),
        ("POST", "/api/v1/public/auth/send%2Demail-code"),
    ],
)
def test_everything_else_counts_by_address_and_account(method: str, path: str) -> None:
    """A path that the backend does not know by this spelling has no class."""
    assert counted(method, path) == {"address": HOME, "account": PLAYER}


def test_a_quota_of_zero_is_off() -> None:
    """Each limit can be switched off by itself."""
    assert counted("PUT", f"{GAME}/orders", orders=0) == {"address": HOME, "account": PLAYER}
    assert counted("PUT", f"{GAME}/orders", address=0, account=0) == {"orders": PLAYER}
    assert counted("PUT", f"{GAME}/orders", address=0, account=0, orders=0) == {}


def test_quotas_come_from_the_settings() -> None:
    """The windows are fixed."""
    settings = LimitSettings(address=1, account=2, codes=3, sign_ins=4, games=5, orders=6, engine=7)
    requests = [
        ("PUT", f"{GAME}/orders"),
        ("POST", f"{GAME}/orders/validate"),
        ("POST", "/api/v1/user/games"),
        ("POST", "/api/v1/public/auth/send-email-code"),
        ("POST", "/api/v1/public/auth/confirm-email-code"),
    ]
    policies = Policies(settings)
    found = {policy for request in requests for policy in policies.of(*request, HOME, PLAYER)}
    assert found == {
        Policy("address", 1, 60),
        Policy("account", 2, 60),
        Policy("codes", 3, 3600),
        Policy("sign-ins", 4, 3600),
        Policy("games", 5, 3600),
        Policy("orders", 6, 60),
        Policy("engine", 7, 60),
    }


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_what_counts_as_one_client(address: str, network: str) -> None:
    """An IPv4 address, a /64 of IPv6, or what is neither."""
    assert network_of(address) == network


def test_ipv6_neighbours_share_an_allowance() -> None:
    """A household that changes its address with each request is one client; the next /64 is another one."""
    policies = Policies(LimitSettings())
    first, same, other = (policies.of("GET", "/api", f"2001:db8:0:{n}", None) for n in ("1::1", "1::2", "2::1"))
    assert first == same != other


@given(st.integers(1, 10**6), st.sampled_from([60, 3600]), st.data())
def test_what_is_left_and_for_how_long(quota: int, window: int, data: st.DataObject) -> None:
    """At any debt the units left are whole ones, and after the wait there is one more of them, not before."""
    policy = Policy("a", quota, window)
    demand = policy.demand("key")
    debt = data.draw(st.integers(0, demand.capacity))
    left, wait = policy.left(debt), policy.wait(debt)
    assert left == int(quota - Fraction(debt, demand.interval) // 1 - (debt % demand.interval > 0))
    assert (wait == 0) == (left == quota)
    if wait:
        assert policy.left(debt - wait) == left + 1
        assert policy.left(debt - wait + 1) == left


@given(st.integers(1, 10**6), st.sampled_from([60, 3600]))
def test_a_window_refills_no_more_than_the_quota(quota: int, window: int) -> None:
    """Intervals are rounded up to whole microseconds, by less than one."""
    assert 0 <= Policy("a", quota, window).interval - Fraction(window * 1_000_000, quota) < 1
