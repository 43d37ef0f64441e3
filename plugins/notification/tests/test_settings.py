"""The plugin's settings: defaults and refusals."""

import pytest

from galaxy_chassis.config.loading import Raw, load
from galaxy_chassis.errors import ConfigurationError
from galaxy_notification.settings import NotificationSettings


def read(**variables: str) -> NotificationSettings:
    """Read the group as the kernel does."""
    raw = {f"BACKEND_NOTIFICATION_{name}": Raw(value, "test") for name, value in variables.items()}
    loaded = load({"notification": NotificationSettings}, raw)
    loaded.check("serve")
    return loaded.settings_of("notification", NotificationSettings)


def test_defaults() -> None:
    """Nothing need be set: operators are not reached, and mails have no link to unsubscribe."""
    settings = read()
    assert (settings.admin_email, settings.public_url) == ("", "")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://play.example.org", "https://play.example.org"),
        ("https://play.example.org/galaxy/", "https://play.example.org/galaxy"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://192.168.1.7:8080", "http://192.168.1.7:8080"),
    ],
)
def test_public_addresses_that_are_taken(given: str, kept: str) -> None:
    """HTTPS anywhere, plain HTTP on this network; a slash at the end makes no difference."""
    assert read(PUBLIC_URL=given).public_url == kept


@pytest.mark.parametrize(
    "given",
    [
        *(
            "play.example.org",
            "ftp://play.example.org",
            "https://",
            "https:///path",
            "/path",
            "http://play.example.org",
        ),
        *("http://8.8.8.8", "https://a.test?x=1", "https://a.test/#x", "https://user@a.test", "https://a.test/ b"),
        *("https://a.test/>", "https://ä.test", "https://a.test:port", "https://[::1", "https://a.test/" + "x" * 500),
    ],
)
def test_public_addresses_that_are_refused(given: str) -> None:
    """What is not an address to which paths can be appended, and what would send links in the clear."""
    with pytest.raises(ConfigurationError, match="BACKEND_NOTIFICATION_PUBLIC_URL"):
        read(PUBLIC_URL=given)
