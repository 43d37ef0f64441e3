"""Bad input, from outside: a clear answer that names the field, and never a server error."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from full_backend import CONFIRM, SEND, Mailbox, post, sign_in
from sqlalchemy import text

from galaxy_devkit.testing import Booted


async def raw(booted: Booted, body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
    async with booted.client.post(SEND, data=body, headers={"Content-Type": content_type}) as response:
        assert response.content_type == "application/problem+json"
        return response.status, await response.json()


BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b"\xff\xfe", 400, "malformed_json"),
    (b"[" * 10_000, 400, "malformed_json"),
    (b"[" * 100_000, 413, "body_too_large"),
    (b'{"email": "' + b"a" * 1_000_000 + b'"}', 413, "body_too_large"),
    (b"[]", 422, "invalid_request"),
    (b'"text"', 422, "invalid_request"),
]


async def test_bodies_that_are_none(full_backend: Booted) -> None:
    """Malformed, oversized and misshapen bodies have different codes."""
    for body, status, code in BODIES:
        found, problem = await raw(full_backend, body)
        assert (found, problem["code"]) == (status, code), body[:20]
        assert problem["request_id"]


async def test_other_media_types_are_415(full_backend: Booted) -> None:
    """A form is not JSON."""
    assert (await raw(full_backend, b"email=a@b.test", "application/x-www-form-urlencoded"))[0] == 415


FIELDS: list[tuple[Any, set[str]]] = [
    ({}, {"email"}),
    ({"email": 5}, {"email"}),
    ({"email": None}, {"email"}),
    ({"email": ["a@b.test"]}, {"email"}),
    ({"email": "a@example.test", "emial": "x"}, {"emial"}),
    ({"email": 5, "locale": 5, "extra": 1}, {"email", "locale", "extra"}),
]


async def test_every_bad_field_is_named(full_backend: Booted) -> None:
    """Wrong types and unknown fields are all reported at once."""
    for body, fields in FIELDS:
        status, problem = await post(full_backend, SEND, body)
        assert status == 422, body
        assert {error["field"] for error in problem["errors"]} == fields, body


NO_ADDRESSES = [
    "", "nobody", "a@", "@b.test", "a@b@c.test", "a@exa mple.test", "a@b.test\r\nBcc: c@d.test", "a\nb@c.test",
    "a" * 307 + "@example.test", "a" * 310 + "@example.test", "a\x00@b.test", "<a@b.test>", "a@-b-.test",
]  # fmt: skip


async def test_what_is_no_address(full_backend: Booted) -> None:
    """An invalid address is refused by field, and no mail is queued."""
    for email in NO_ADDRESSES:
        status, problem = await post(full_backend, SEND, {"email": email})
        assert status == 422, email
        assert [error["field"] for error in problem["errors"]] == ["email"], email
    async with full_backend.database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM mail_deliveries"))).scalar_one() == 0


async def test_international_domain_gets_its_mail(full_backend: Booted, mailbox: Mailbox) -> None:
    """An IDN address signs in like any other."""
    status, _ = await post(full_backend, SEND, {"email": "spieler@bücher.example.test"})
    assert status == 202
    async with asyncio.timeout(10):
        while not mailbox.mails:
            await asyncio.sleep(0.05)
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("code", ["", "1234567", "123456789", "abcdefgh", "１２３４５６７"])
async def test_malformed_code_costs_no_try(full_backend: Booted, mailbox: Mailbox, code: str) -> None:
    """A malformed code is refused by field, and the challenge is not affected."""
    _, challenge = await post(full_backend, SEND, {"email": "ada@example.test"})
    for _ in range(6):
        status, problem = await post(full_backend, CONFIRM, {"challenge_id": challenge["challenge_id"], "code": code})
        assert status == 422
        assert [error["field"] for error in problem["errors"]] == ["code"]
    right = await mailbox.code_to("ada@example.test")
    assert (await post(full_backend, CONFIRM, {"challenge_id": challenge["challenge_id"], "code": right}))[0] == 201


async def test_wrong_codes_close_the_challenge(full_backend: Booted, mailbox: Mailbox) -> None:
    """After five wrong codes the right one is refused too; a code works once."""
    _, challenge = await post(full_backend, SEND, {"email": "ada@example.test"})
    right = await mailbox.code_to("ada@example.test")
    wrong = f"{(int(right) + 1) % 10**8:08d}"
    body = {"challenge_id": challenge["challenge_id"], "code": wrong}
    answers = [await post(full_backend, CONFIRM, body) for _ in range(6)]
    assert [answer["code"] for _, answer in answers] == ["code_wrong"] * 5 + ["challenge_closed"]
    assert {status for status, _ in answers} == {401}
    status, problem = await post(full_backend, CONFIRM, {**body, "code": right})
    assert (status, problem["code"]) == (401, "challenge_closed")


async def test_expired_and_reused_codes_open_nothing(full_backend: Booted, mailbox: Mailbox) -> None:
    """The right code of a challenge that ran out, or that was redeemed, is 401 like that of an unknown one."""
    _, challenge = await post(full_backend, SEND, {"email": "late@example.test"})
    late = {"challenge_id": challenge["challenge_id"], "code": await mailbox.code_to("late@example.test")}
    async with full_backend.database.transaction() as connection:
        await connection.execute(text("UPDATE auth_challenges SET expires_at = now()"))
    _, challenge = await post(full_backend, SEND, {"email": "ada@example.test"})
    used = {"challenge_id": challenge["challenge_id"], "code": await mailbox.code_to("ada@example.test")}
    assert (await post(full_backend, CONFIRM, used))[0] == 201
    for body in (late, used, {**used, "challenge_id": str(uuid4())}):
        status, problem = await post(full_backend, CONFIRM, body)
        assert (status, problem["code"]) == (401, "challenge_closed")


async def test_revoked_token_opens_nothing(full_backend: Booted, mailbox: Mailbox) -> None:
    """A session is refused as soon as its sign-out is answered."""
    session = await sign_in(full_backend, mailbox, "ada@example.test")
    headers = {"Authorization": f"Bearer {session['session_token']}"}
    one = f"/api/v1/user/sessions/{session['session_id']}"
    statuses = []
    for method, path in (("GET", "/api/v1/user/account"), ("DELETE", one), ("GET", "/api/v1/user/account")):
        async with full_backend.client.request(method, path, headers=headers) as response:
            statuses.append(response.status)
    assert statuses == [200, 204, 401]


async def test_parallel_right_codes_make_one_session(full_backend: Booted, mailbox: Mailbox) -> None:
    """Of forty concurrent uses of the right code one succeeds."""
    _, challenge = await post(full_backend, SEND, {"email": "ada@example.test"})
    body = {"challenge_id": challenge["challenge_id"], "code": await mailbox.code_to("ada@example.test")}
    statuses = [status for status, _ in await asyncio.gather(*(post(full_backend, CONFIRM, body) for _ in range(40)))]
    assert statuses.count(201) == 1
    assert statuses.count(401) == 39


async def test_resend_is_throttled_with_the_time_left(full_backend: Booted) -> None:
    """A second code within the minute is 429 with the time to wait."""
    assert (await post(full_backend, SEND, {"email": "ada@example.test"}))[0] == 202
    async with full_backend.client.post(SEND, json={"email": "ADA@example.test"}) as response:
        assert response.status == 429
        assert 50 <= int(response.headers["Retry-After"]) <= 60
