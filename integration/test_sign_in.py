"""People come in."""

import aiohttp
import pytest
from full_stack.stack import Stack

from galaxy_client import UnauthorizedError


async def test_a_code_opens_a_session_until_it_is_ended(stack: Stack) -> None:
    """A person signs in by the code of a mail, is known by it, and no longer once the session was ended."""
    ada = await stack.sign_in("ada@example.test")
    assert (await ada.account()).email == "ada@example.test"
    await ada.sign_out()
    with pytest.raises(UnauthorizedError):
        await ada.account()


async def test_the_gateway_is_the_only_door(stack: Stack) -> None:
    """What is not for players does not go through it, whoever asks."""
    async with aiohttp.ClientSession(stack.gateways[0].url) as client:
        for path in ("/api/v1/admin/users", "/api/v1/internal/sessions/introspect", "/metrics"):
            async with client.get(path) as answer:
                assert answer.status == 404
