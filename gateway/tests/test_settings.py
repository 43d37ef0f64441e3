"""What the gateway's settings refuse, by name."""

import pytest
from gateway_doubles import TOKEN

from galaxy_chassis.errors import ConfigurationError
from galaxy_gateway.gateway import configure

GOOD = "http://127.0.0.1:8080,https://backend_1.example.test,http://[::1]:8080/,unix:///run/backend.sock"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://a:65536",
            "http://a:b",
            "http://a b",
            "http://bäckend",
            "http://a/path",
            "http://u:p@a",
            "http://a?b",
        ),
        *("ftp://a", "unix://a/b", "a:80"),
    ],
)
def test_a_backend_that_cannot_be_called_is_refused(url: str) -> None:
    """At the start, not at the first call: what is written into each call's head is checked once."""
    with pytest.raises(ConfigurationError, match="GATEWAY_BACKEND_URL"):
        configure({"GATEWAY_TOKEN": TOKEN, "GATEWAY_BACKEND_URL": url}).check("serve")
    configure({"GATEWAY_TOKEN": TOKEN, "GATEWAY_BACKEND_URL": GOOD}).check("serve")


def test_trusting_everybody_is_warned_of() -> None:
    """A trusted network wider than /8 is a warning of the configuration, which `serve`, `config` and `doctor` show."""
    given = {"GATEWAY_TOKEN": TOKEN, "GATEWAY_BACKEND_URL": GOOD}
    assert configure(given | {"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8"}).warnings == ()
    (warning,) = configure(given | {"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8,0.0.0.0/0"}).warnings
    assert str(warning).startswith("GATEWAY_TRUSTED_PROXIES: 0.0.0.0/0 is wider than /8")
