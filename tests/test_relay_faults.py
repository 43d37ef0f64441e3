"""A relay that accepts connections and then fails, seen from the API: refusing, slow, gone after the final dot."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import encode_basic_auth
from aiosmtpd.smtp import SMTP, Envelope, Session
from full_backend import ALL, SEND, Mailbox, post

from galaxy_devkit.testing import Boot, Booted

ENVIRONMENT = {
    "BACKEND_ADMIN_BOOTSTRAP_USER": "root",
    "BACKEND_ADMIN_BOOTSTRAP_PASSWORD": "the first password",
    "BACKEND_SMTP_TIMEOUT": "1s",
}


class FaultyMailbox(Mailbox):
    """A relay that injects `fault` into a mail, and keeps mails received up to the final dot."""

    fault = "kind"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if self.fault == "refuse":
            return "550 5.7.1 not from you"
        answer = await super().handle_DATA(server, session, envelope)
        if self.fault == "drop":
            assert server.transport is not None
            server.transport.abort()
        if self.fault == "slow":
            await asyncio.Event().wait()
        return answer


@pytest.fixture
def mailbox() -> FaultyMailbox:
    return FaultyMailbox()


@pytest.fixture
async def operated(boot: Boot, mailbox: FaultyMailbox) -> AsyncIterator[Booted]:
    """Every plugin, a faulty relay, and an operator whose password is changed."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    relay = {"BACKEND_SMTP_PORT": str(server.sockets[0].getsockname()[1]), "BACKEND_SMTP_TLS_MODE": "none"}
    async with boot(*ALL, environment=ENVIRONMENT | relay) as booted:
        change = {"current_password": "the first password", "new_password": "a changed one, long"}
        path = "/api/v1/admin/admins/me/password"
        headers = {"Authorization": encode_basic_auth("root", change["current_password"])}
        async with booted.client.put(path, json=change, headers=headers) as response:
            assert response.status == 204
        yield booted
    server.close()
    await server.wait_closed()


async def admin(booted: Booted, method: str, path: str) -> Any:
    headers = {"Authorization": encode_basic_auth("root", "a changed one, long"), "Content-Type": "application/json"}
    async with booted.client.request(method, f"/api/v1/admin/mail{path}", headers=headers) as response:
        assert response.status < 300, await response.text()
        return await response.json()


async def delivery_in(booted: Booted, state: str) -> Any:
    """Wait until the only delivery is in a state, and return it."""
    async with asyncio.timeout(10):
        while (found := (await admin(booted, "GET", "/deliveries"))["items"])[0]["state"] != state:
            await asyncio.sleep(0.05)
    assert len(found) == 1
    return found[0]


async def test_refused_mail_is_a_dead_letter_that_operators_see(operated: Booted, mailbox: FaultyMailbox) -> None:
    """A permanent refusal ends at the first attempt, with the relay's reply; a resend succeeds once it accepts."""
    mailbox.fault = "refuse"
    assert (await post(operated, SEND, {"email": "ada@example.test"}))[0] == 202
    delivery = await delivery_in(operated, "dead_lettered")
    (letter,) = (await admin(operated, "GET", "/dead-letters"))["items"]
    assert letter["id"] == delivery["id"]
    assert "550 5.7.1 not from you" in letter["last_error"]
    mailbox.fault = "kind"
    await admin(operated, "POST", f"/deliveries/{delivery['id']}/resend")
    assert len(await mailbox.code_to("ada@example.test")) == 8


@pytest.mark.parametrize(("fault", "said"), [("drop", "may have accepted it"), ("slow", "no answer within 1 s")])
async def test_mail_that_may_have_gone_goes_again_as_it_was(
    operated: Booted, mailbox: FaultyMailbox, fault: str, said: str
) -> None:
    """A relay silent or lost after the final dot costs an attempt; the same mail is sent again, and no call waits."""
    mailbox.fault = fault
    async with asyncio.timeout(1):
        assert (await post(operated, SEND, {"email": "ada@example.test"}))[0] == 202
    delivery = await delivery_in(operated, "retrying")
    assert said in delivery["last_error"]
    mailbox.fault = "kind"
    await admin(operated, "POST", f"/deliveries/{delivery['id']}/resend")
    await delivery_in(operated, "sent")
    assert len(mailbox.mails) == 2
    assert {mail["Message-ID"] for mail in mailbox.mails} == {delivery["message_id"]}
    assert len({mail.as_bytes() for mail in mailbox.mails}) == 1
    attempts = (await admin(operated, "GET", f"/deliveries/{delivery['id']}/attempts"))["items"]
    assert [(each["attempt_no"], each["outcome"]) for each in attempts] == [(1, "retrying"), (2, "sent")]
