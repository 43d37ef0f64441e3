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
