"""The gateway of `backend dev`."""

from galaxy_devkit.dev import edge
from galaxy_gateway.gateway import configure
from galaxy_gateway.settings import GATEWAY, GatewaySettings


def test_a_gateway_can_be_run() -> None:
    """Its distribution is installed where these tests run."""
    assert edge.is_installed()


def test_its_own_pages_may_keep_sessions_in_cookies() -> None:
    """The variables are those of a gateway, and a page of it is found under either name of this machine."""
    variables = edge.environment(
        "127.0.0.1:8090", "http://127.0.0.1:8080", "127.0.0.1:8081", "a gateway token for tests, 32 bytes"
    )
    configuration = configure({}, overlay=variables)
    configuration.check("serve")
    settings = configuration.settings_of(GATEWAY, GatewaySettings)
    assert settings.backend_url == ("http://127.0.0.1:8080",)
    assert settings.cookie_origins == ("http://127.0.0.1:8090", "http://localhost:8090")


async def test_it_listens_while_the_block_lasts() -> None:
    """Whether or not there is a backend behind it."""
    variables = edge.environment(
        "127.0.0.1:0", "http://127.0.0.1:1", "127.0.0.1:1", "a gateway token for tests, 32 bytes"
    )
    async with edge.running(variables) as address:
        assert address.startswith("127.0.0.1:")
        assert not address.endswith(":0")
