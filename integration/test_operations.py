"""What operators do."""

import asyncio
from typing import Any

import aiohttp
from full_stack.stack import Operator, Stack


async def until(operator: Operator, path: str, condition: Any) -> Any:
    """Ask until the document is as it should be."""
    async with asyncio.timeout(30):
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
    async with asyncio.timeout(30), aiohttp.ClientSession(stack.backends[0].url) as client:
        degraded = False
        while not degraded:
            async with client.get("/readyz") as answer:
                assert answer.status == 200
                degraded = any(
                    check["plugin"] == "mail" and check["state"] == "degraded"
                    for check in (await answer.json())["checks"]
                )
    await stack.sink.start()
    stack.mail.url = stack.sink.url
    assert len(await stack.mail.code("ada@example.test")) == 8


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


async def test_failed_pulls_are_told_while_the_channel_is_on(stack: Stack) -> None:
    """An image that cannot be pulled raises a mail to the operators; with the channel off, the route is skipped."""
    operator = await stack.operator()
    for enabled, version in ((True, "7.0.0"), (False, "7.0.1")):
        assert (await operator.ask("PUT", "/notifications/admin-channel", {"enabled": enabled}))[0] == 200
        body = {"engine": "nowhere", "version": version, "image": f"127.0.0.1:9/nowhere:{version}"}
        status, made = await operator.ask("POST", "/engine-versions", body)
        assert status == 201, made
        status, answer = await operator.ask("POST", f"/engine-versions/{made['id']}/check")
        assert status == 202, answer
        routes = await until(
            operator,
            "/notifications?kind=runtime.image_pull_failed",
            lambda found, enabled=enabled: (
                found["total"] == (1 if enabled else 2)
                and all(route["state"] in ("sent", "skipped") for each in found["items"] for route in each["routes"])
            ),
        )
        newest = max(routes["items"], key=lambda each: each["created_at"])
        assert [route["state"] for route in newest["routes"]] == ["sent" if enabled else "skipped"]
    assert "7.0.0" in (await stack.mail.mail("operators@example.test")).text
