"""`gateway doctor`: whatever is missing or odd is a finding, and the others are looked at all the same."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from galaxy_gateway import doctor
from galaxy_gateway.doctor import examine

TOKEN = "mR1zQv7bJ0k3xW9dYtLfH5uPc2NgAe8sKqTn4VwXyZo6BiCj"
SET = {
    "GATEWAY_BACKEND_URL": "http://127.0.0.1:1",
    "GATEWAY_PUSH_ADDR": "127.0.0.1:1",
    "GATEWAY_TOKEN": TOKEN,
    "GATEWAY_REDIS_URL": "redis://127.0.0.1:1",
}


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of a gateway whose neighbours are all away."""
    for name, value in SET.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("deployed")
async def test_neighbours_that_are_away() -> None:
    """Each has a finding of its own, with its variable, and the token is not shown."""
    found = {each.check: each for each in await examine()}
    for check, variable in (
        ("backend http://127.0.0.1:1", "GATEWAY_BACKEND_URL"),
        ("live events 127.0.0.1:1", "GATEWAY_PUSH_ADDR"),
        ("store", "GATEWAY_REDIS_URL"),
    ):
        assert found[check].state == "failed"
        assert variable in found[check].detail
    assert TOKEN not in str(found)


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("error", [KeyError("odd"), asyncio.CancelledError()])
async def test_a_check_that_breaks_ends_no_other(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """What nobody expects is a finding too."""

    async def broken(*_: object) -> list[object]:
        raise error

    check: Callable[..., Awaitable[list[object]]] = broken
    monkeypatch.setattr(doctor, "_store", check)
    found = {each.check: each for each in await examine()}
    assert found["store"].state == "failed"
    assert "backend http://127.0.0.1:1" in found


async def test_settings_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are named, and nothing is tried with half of them."""
    for name in SET:
        monkeypatch.delenv(name, raising=False)
    found = await examine()
    assert {each.check for each in found} == {"configuration"}
    assert any("GATEWAY_TOKEN" in each.detail for each in found)


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("address", "warned"),
    [
        *(("localhost:8443", False), ("127.0.0.1:8443", False), ("[::1]:8443", False), ("10.1.2.3:8443", False)),
        *(("0.0.0.0:8443", True), ("[::]:8443", True), ("198.51.100.7:8443", True)),
    ],
)
async def test_without_tls_on_a_public_address(monkeypatch: pytest.MonkeyPatch, address: str, warned: bool) -> None:
    """What the internet may reach without TLS is a warning; a private address is not."""
    monkeypatch.setenv("GATEWAY_LISTEN_ADDR", address)
    assert ("certificate" in {each.check for each in await examine()}) is warned
