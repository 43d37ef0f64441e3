"""What operators do."""

import asyncio
from typing import Any

import aiohttp
import pytest
from full_stack import images
from full_stack.people import game_of
from full_stack.stack import PATIENCE, Operator, Stack


async def until(operator: Operator, path: str, condition: Any) -> Any:
    """Ask until the document is as it should be."""
    async with asyncio.timeout(PATIENCE):
        while True:
            document = await operator.get(path)
            if condition(document):
                return document
            await asyncio.sleep(0.2)


async def test_mails_wait_for_their_relay(stack: Stack) -> None:
    """While the relay is away, mails wait and `/readyz` reports it; back again they are sent, without an operator."""
    operator = await stack.operator()
    await stack.sink.kill()
    async with aiohttp.ClientSession(stack.gateways[0].url) as client:
        body = {"email": "ada@example.test"}
        async with client.post("/api/v1/public/auth/send-email-code", json=body) as answer:
            assert answer.status == 202
    waiting = await until(operator, "/mail/deliveries?kind=auth.sign_in_code", lambda found: found["total"] == 1)
    assert waiting["items"][0]["state"] in ("pending", "retrying")
    async with asyncio.timeout(PATIENCE):
        while await _mail_state(stack) != "degraded":
            await asyncio.sleep(0.2)
    await stack.sink.start()
    stack.mail.url = stack.sink.url
    assert len(await stack.mail.code("ada@example.test")) == 8


async def _mail_state(stack: Stack) -> str:
    """Return what `/readyz` says of the relay; it stays 200."""
    async with aiohttp.ClientSession() as client, client.get(f"{stack.backends[0].url}/readyz") as answer:
        assert answer.status == 200
        checks = (await answer.json())["checks"]
    return next(check["state"] for check in checks if (check["plugin"], check["name"]) == ("mail", "relay"))


async def test_a_refused_mail_is_a_dead_letter_that_can_be_sent_again(stack: Stack) -> None:
    """A recipient whom the relay refuses for good; what was sent is not sent twice."""
    operator = await stack.operator()
    await stack.sign_in("ada@example.test")
    async with aiohttp.ClientSession(stack.gateways[0].url) as client:
        await client.post("/api/v1/public/auth/send-email-code", json={"email": "ada@elsewhere.test"})
    dead = await until(operator, "/mail/dead-letters", lambda found: found["total"] == 1)
    delivery = dead["items"][0]
    assert delivery["recipient"] == "ada@elsewhere.test"
    attempts = await operator.get(f"/mail/deliveries/{delivery['id']}/attempts")
    assert [each["smtp_code"] for each in attempts["items"]] == [550]
    assert (await operator.ask("POST", f"/mail/deliveries/{delivery['id']}/resend"))[0] in (200, 202)
    attempts = await until(
        operator, f"/mail/deliveries/{delivery['id']}/attempts", lambda found: len(found["items"]) == 2
    )
    assert [each["attempt_no"] for each in attempts["items"]] == [1, 2]
    sent = await operator.get("/mail/deliveries?state=sent")
    assert (await operator.ask("POST", f"/mail/deliveries/{sent['items'][0]['id']}/resend"))[0] == 409


@pytest.mark.parametrize(("enabled", "state"), [(True, "sent"), (False, "skipped")])
async def test_a_failed_pull_is_told_while_the_channel_is_on(stack: Stack, enabled: bool, state: str) -> None:
    """An image that is gone when a game starts raises a mail to the operators; with the channel off, it is skipped."""
    operator = await stack.operator()
    assert (await operator.ask("PUT", "/notifications/admin-channel", {"enabled": enabled}))[0] == 200
    image = f"127.0.0.1:9/{stack.label}:1"
    with stack.tagged(images.GAME.tag, image):
        body = {"engine": "vanishing", "version": "1.0.0", "image": image}
        status, made = await operator.ask("POST", "/engine-versions", body)
        assert status == 201, made
        assert (await operator.ask("POST", f"/engine-versions/{made['id']}/check"))[0] == 202
        await until(operator, f"/engine-versions/{made['id']}", lambda shown: shown["describe"] is not None)
    ada = await stack.sign_in("ada@example.test")
    assert (await game_of([ada], machines=1, engine="vanishing")).state == "start_failed"
    told = await until(
        operator,
        "/notifications?kind=runtime.image_pull_failed",
        lambda found: found["total"] == 1 and found["items"][0]["routes"][0]["state"] not in ("pending", "retrying"),
    )
    assert [route["state"] for route in told["items"][0]["routes"]] == [state]
    if enabled:
        assert image in (await stack.mail.mail("operators@example.test")).text
    else:
        assert await stack.mail.mails("operators@example.test") == []
