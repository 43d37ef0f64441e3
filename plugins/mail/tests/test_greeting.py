"""The name by which the relay is greeted."""

import pytest

from galaxy_mail.greeting import greeting_name, parse_greeting_name


@pytest.mark.parametrize(
    ("host", "address", "name"),
    [
        ("mail.example.org", "192.0.2.7", "mail.example.org"),
        ("abc123", "192.0.2.7", "[192.0.2.7]"),
        ("localhost", "127.0.0.1", "[127.0.0.1]"),
        ("", "192.0.2.7", "[192.0.2.7]"),
        ("bücher.example", "192.0.2.7", "[192.0.2.7]"),
        ("-a.example.org", "192.0.2.7", "[192.0.2.7]"),
        ("a..example.org", "192.0.2.7", "[192.0.2.7]"),
        (f"{'a' * 64}.example.org", "192.0.2.7", "[192.0.2.7]"),
        ("192.0.2.9", "192.0.2.7", "[192.0.2.7]"),
        ("vm", "2001:db8::7", "[IPv6:2001:db8::7]"),
        ("vm", "fe80::1%eth0", "[IPv6:fe80::1]"),
        ("vm", "::ffff:192.0.2.7", "[192.0.2.7]"),
    ],
)
def test_a_full_name_or_the_address(host: str, address: str, name: str) -> None:
    """A host's name is used where it is fully qualified; else the literal of the address (RFC 5321, 4.1.3)."""
    assert greeting_name(host, address) == name


@pytest.mark.parametrize("name", ["out.example.org", "[192.0.2.7]", "[IPv6:2001:db8::7]"])
def test_names_that_can_be_set(name: str) -> None:
    """A domain name and both literals are used as they were set."""
    assert parse_greeting_name(name) == name


@pytest.mark.parametrize("name", ["", "vm", "localhost", "a_b.example.org", "192.0.2.7", "[vm]", "a.b\r\nMAIL", "[]"])
def test_names_that_cannot_be_set(name: str) -> None:
    """A bare name, and what is neither a name nor a literal, is refused."""
    with pytest.raises(ValueError, match=r"."):
        parse_greeting_name(name)
