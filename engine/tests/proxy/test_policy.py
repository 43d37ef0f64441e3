"""What an operator allows, and how it is said."""

import pytest

from galaxy_engine.drivers.docker.references import parse
from galaxy_engine.proxy.policy import MOST, Policy
from galaxy_engine.proxy.server import listen


@pytest.mark.parametrize(
    ("allowed", "image", "may"),
    [
        ("galaxy/game", "galaxy/game:1", True),
        ("galaxy/game", "docker.io/galaxy/game:1", True),
        ("galaxy/game", "index.docker.io/galaxy/game", True),
        ("galaxy/game", "galaxy/game-of-others", False),
        ("galaxy/game", "registry.example.org/galaxy/game", False),
        ("galaxy/", "galaxy/game:1", True),
        ("galaxy/", "galaxy/deep/game:1", True),
        ("galaxy/", "galaxyx/game:1", False),
        ("galaxy/", "galaxy", False),
        ("redis", "docker.io/library/redis:7", True),
        ("redis", "docker.io/redis:7", True),
        ("redis", "somebody/redis:7", False),
        ("localhost:5000/", "localhost:5000/game@sha256:" + 64 * "0", True),
        ("localhost:5000/", "localhost:5001/game", False),
        ("localhost:5000/", "localhost/game", False),
    ],
)
def test_images(allowed: str, image: str, may: bool) -> None:
    """A repository allows its tags and digests, a prefix what is below it, whatever Docker adds to short names."""
    reference = parse(image)
    assert reference
    assert Policy.checked("blue", (allowed,), ("engines",), MOST).has_image(reference) is may


@pytest.mark.parametrize(
    ("stack", "image", "network", "option"),
    [
        ("", "galaxy/game", "engines", "--stack"),
        ("a,b", "galaxy/game", "engines", "--stack"),
        ("blue", "/", "engines", "--image"),
        ("blue", "", "engines", "--image"),
        ("blue", "galaxy/game:1", "engines", "--image"),
        ("blue", "galaxy/game", "host", "--network"),
        ("blue", "galaxy/game", "", "--network"),
    ],
)
def test_what_would_allow_everything_or_nothing(stack: str, image: str, network: str, option: str) -> None:
    """Such an option is refused by its name."""
    with pytest.raises(ValueError, match=f"^{option} "):
        Policy.checked(stack, (image,), (network,), MOST)


@pytest.mark.parametrize("address", ["", "2375", "host:port"])
def test_address_that_is_none(address: str) -> None:
    """An address without a port is refused with the two forms there are."""
    with pytest.raises(ValueError, match="unix:///PATH"):
        listen(address)
