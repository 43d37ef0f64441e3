"""The addresses to which a token may be sent."""

import pytest

from galaxy_client.addresses import base_address


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://games.example.org", "https://games.example.org"),
        (" https://games.example.org/ ", "https://games.example.org"),
        ("https://games.example.org:8443/galaxy/", "https://games.example.org:8443/galaxy"),
        ("http://127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("http://[::1]:8090", "http://[::1]:8090"),
        ("http://localhost:8090", "http://localhost:8090"),
    ],
)
def test_good(given: str, address: str) -> None:
    """https to anywhere, http to this machine, a path; without a slash at the end."""
    assert str(base_address(given)) == address


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("games.example.org", "must begin with"),
        ("ftp://games.example.org", "must begin with"),
        ("https://", "must begin with"),
        ("", "must begin with"),
        ("https://ada:hunter22@games.example.org", "must not hold a name or password"),
        ("https://ada@games.example.org", "must not hold a name or password"),
        ("https://games.example.org?key=hunter22", "without '\\?'"),
        ("https://games.example.org#hunter22", "without '\\?'"),
        ("http://games.example.org", "not encrypted"),
        ("http://127.0.0.1.example.org", "not encrypted"),
        ("http://10.0.0.1", "not encrypted"),
        ("https://games.example.org:99999", "not a URL"),
    ],
)
def test_bad(given: str, reason: str) -> None:
    """Anything else is refused with what is wrong, and without what may be secret."""
    with pytest.raises(ValueError, match=reason) as refused:
        base_address(given)
    assert "hunter22" not in str(refused.value)


def test_insecure_by_choice() -> None:
    """Plain http elsewhere needs to be allowed."""
    assert str(base_address("http://games.internal", allow_insecure=True)) == "http://games.internal"
