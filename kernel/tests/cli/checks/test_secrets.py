"""Secrets that can be guessed."""

import base64
import secrets as random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from galaxy_kernel.cli.checks import secrets
from galaxy_kernel.core.settings import KernelSettings

STRONG = "mR1zQv7bJ0k3xW9dYtLfH5uPc2NgAe8sKqTn4VwXyZo6BiCj"


@pytest.mark.parametrize(
    ("secret", "weakness"),
    [
        ("change-me-change-me-change-me-0123456789", "has the word 'change-me'"),
        ("ThisIsMyVeryLongPasswordForTheBackend", "has the word 'password'"),
        ("0f9a2b7c4d0f9a2b7c4d0f9a2b7c4d0f9a2b7c4d", "repeats itself"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "is a sequence"),
        ("aaaaaaaaaaaaaaaaaaaaaaa0192837465bcd", "has few different characters"),
    ],
)
def test_what_was_not_drawn_at_random(secret: str, weakness: str) -> None:
    """Each of them passes the settings, which ask for 32 bytes, ten of them different."""
    KernelSettings(secret_key=SecretStr(secret))
    assert secrets.weakness_of(secret) == weakness


@given(st.binary(min_size=48, max_size=48).filter(lambda drawn: len(set(drawn)) > 36))
def test_what_was_drawn_passes(drawn: bytes) -> None:
    """What openssl makes of random bytes is not refused."""
    assert secrets.weakness_of(base64.b64encode(drawn).decode()) is None


@pytest.mark.parametrize("draw", [random.token_hex, random.token_urlsafe])
def test_what_python_draws_passes(draw: "type[str]") -> None:
    """So do hexadecimal digits and URL-safe letters of 32 random bytes."""
    assert secrets.weakness_of(draw(32)) is None


async def test_the_gateway_must_not_have_the_secret_key() -> None:
    """The same value for both is a fault: a gateway stands where strangers come."""
    settings = KernelSettings(secret_key=SecretStr(STRONG), gateway_token=SecretStr(STRONG))
    states = {each.check: each.state for each in await secrets.check(settings)}
    assert states == {"secret key": "ok", "gateway token": "failed"}
