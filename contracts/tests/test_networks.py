"""Networks of clients."""

import pytest

from galaxy_contracts.networks import CLIENT, NETWORK, SITE, network_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", [64, 56, 48]),
        ("192.0.2.1", "192.0.2.2", [48]),
        ("192.0.2.1", "192.0.3.1", []),
        ("2001:db8:1:2::1", "2001:DB8:1:2:f::", [64, 56, 48]),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", [56, 48]),
        ("2001:db8:1:2::1", "2001:db8:1:100::1", [48]),
        ("2001:db8:1:2::1", "2001:db8:2:2::1", []),
        ("unknown", "", []),
    ],
)
def test_networks(one: str, other: str, same: list[int]) -> None:
    """IPv6 counts by its first bits, IPv4 by address and by its /24, in either notation."""
    assert [bits for bits in (CLIENT, SITE, NETWORK) if network_of(one, bits) == network_of(other, bits)] == same
