"""Sending and redeeming codes: the rules A-1 to A-4, on a real database."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from galaxy_contracts.sessions import SessionStarted


class Untouchable:
    """`Accounts` that must not be used."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"accounts.{name} was used")


class BrokenOutbox:
    """An `Outbox` that refuses every mail."""

    def register(self, kind: Any) -> None: ...

    async def enqueue(self, connection: Any, message: Any) -> Any:
        raise ValueError("recipient: no")


def wrong(code: str) -> str:
    """Return another code."""
    return f"{(int(code.replace(' ', '')) + 1) % 10**8:08d}"


async def test_send_does_not_look_at_accounts(make_world: Any) -> None:
    """Asking for a code uses no account service at all, so the answer cannot reveal who has an account."""
    world = await make_world(accounts=Untouchable())
    status, answer = await world.send("anybody@example.test")
    assert (status, set(answer)) == (202, {"challenge_id", "expires_at", "retry_after"})


async def test_send_answers_alike_for_everybody(world: Any) -> None:
    """Known, unknown and blocked addresses get the same status, headers and fields, and a mail each."""
    known, blocked = await world.sign_in("known@example.test"), await world.sign_in("blocked@example.test")
    for account in list(world.accounts.accounts.values()):
        if account.email.startswith("blocked"):
            world.accounts.change(account.id, blocked_at=world.clock.now())
    world.clock.advance(timedelta(minutes=5))
    shapes = []
    for email in ("known@example.test", "blocked@example.test", "nobody@example.test"):
        request = world.booted.client.post("/api/v1/public/auth/send-email-code", json={"email": email})
        async with request as response:
            names = [name for name in response.headers if name not in ("Date", "X-Request-Id")]
            shapes.append((response.status, names, sorted(await response.json()), response.content_length))
        assert world.outbox.messages[-1].recipient == email
    assert shapes[0] == shapes[1] == shapes[2]
    assert known["account"]["id"] != blocked["account"]["id"]


async def test_mail_goes_with_the_challenge(world: Any) -> None:
    """The mail goes to the address as typed, in the language asked for, and ends with its code."""
    status, answer = await world.send("Ada@Example.test", locale="de-at")
    message = world.outbox.messages[0]
    assert status == 202
    assert (message.kind, message.recipient, message.language) == ("auth.sign_in_code", "Ada@Example.test", "de-AT")
    assert message.expires_at == world.clock.now() + timedelta(minutes=5)
    assert message.expires_at.isoformat().replace("+00:00", "Z") == answer["expires_at"]
    assert world.outbox.kinds["auth.sign_in_code"].secret


async def test_mail_that_cannot_be_queued_leaves_no_challenge(make_world: Any) -> None:
    """An address that mail refuses is 422 and is not counted."""
    world = await make_world(outbox=BrokenOutbox())
    status, problem = await world.send()
    assert (status, problem["errors"][0]["field"]) == (422, "email")
    assert await world.count("auth_challenges") == 0


async def test_first_sign_in_makes_the_account(world: Any) -> None:
    """The first right code creates account and session; the account has the caller's data."""
    challenge, code = await world.challenge("Ada@example.test", locale="de")
    given = {"device_name": " Ada's phone ", "time_zone": "Europe/Vienna"}
    status, answer = await world.confirm(challenge, code, **given)
    assert status == 201
    account = answer["account"]
    assert (account["email"], account["language"], account["time_zone"]) == ("Ada@example.test", "de", "Europe/Vienna")
    assert await world.works(answer["session_token"])
    again = await world.sign_in("ADA@example.test", language="fr")
    assert again["account"] == account
    await world.until(lambda: len(world.heard) == 2)
    first, second = sorted(world.heard, key=lambda fact: not fact.first)
    assert (first.first, first.device_name, str(first.session_id)) == (True, "Ada's phone", answer["session_id"])
    assert (second.first, second.device_name) == (False, "Unknown device")
    assert all(isinstance(fact, SessionStarted) for fact in world.heard)


async def test_wrong_codes_close_the_challenge(world: Any) -> None:
    """Four wrong codes leave one attempt, the fifth closes the challenge, and then the right one is refused too."""
    challenge, code = await world.challenge()
    left = []
    for _ in range(5):
        status, problem = await world.confirm(challenge, wrong(code))
        assert (status, problem["code"]) == (401, "code_wrong")
        left.append(problem["detail"])
    assert ["4 tries" in left[0], "one attempt" in left[3], "last attempt" in left[4]] == [True] * 3
    assert (await world.confirm(challenge, code))[1]["code"] == "challenge_closed"
    assert world.accounts.accounts == {}


async def test_right_code_on_the_last_try(world: Any) -> None:
    """After four wrong codes the right one still opens."""
    challenge, code = await world.challenge()
    for _ in range(4):
        await world.confirm(challenge, wrong(code))
    assert (await world.confirm(challenge, code))[0] == 201


async def test_malformed_codes_burn_no_try(world: Any) -> None:
    """A malformed code is 422 and not counted, as is a bad field beside a right code."""
    challenge, code = await world.challenge()
    for _ in range(6):
        status, problem = await world.confirm(challenge, "1234567")
        assert (status, problem["errors"][0]["field"]) == (422, "code")
    assert (await world.confirm(challenge, code, time_zone="Mars"))[0] == 422
    assert (await world.confirm(challenge, code.replace(" ", "-")))[0] == 201


@pytest.mark.parametrize("seconds", [299, 300])
async def test_codes_run_out(world: Any, seconds: int) -> None:
    """A code works until its five minutes are over, and from then on it does not."""
    challenge, code = await world.challenge()
    world.clock.advance(timedelta(seconds=seconds))
    status, answer = await world.confirm(challenge, code)
    assert (status, answer.get("code")) == ((201, None) if seconds < 300 else (401, "challenge_closed"))


async def test_closed_challenges_look_alike(world: Any) -> None:
    """Unknown, redeemed and expired challenges answer the same."""
    unknown = await world.confirm(str(uuid4()), "12345678")
    challenge, code = await world.challenge()
    await world.confirm(challenge, code)
    redeemed = await world.confirm(challenge, code)
    world.clock.advance(timedelta(minutes=1))
    challenge, code = await world.challenge()
    world.clock.advance(timedelta(minutes=5))
    expired = await world.confirm(challenge, code)
    answers = [
        {key: value for key, value in each[1].items() if key != "request_id"} for each in (unknown, redeemed, expired)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0]["status"], answers[0]["code"]) == (401, "challenge_closed")


async def test_blocked_accounts_are_refused_after_the_right_code(world: Any) -> None:
    """Only the right code reveals that the account is blocked, and it is used up by that."""
    account = (await world.sign_in())["account"]
    world.accounts.change(next(iter(world.accounts.accounts)), blocked_at=world.clock.now())
    world.clock.advance(timedelta(minutes=1))
    challenge, code = await world.challenge(account["email"])
    assert (await world.confirm(challenge, wrong(code)))[1]["code"] == "code_wrong"
    status, problem = await world.confirm(challenge, code)
    assert (status, problem["code"]) == (403, "account_blocked")
    assert (await world.confirm(challenge, code))[1]["code"] == "challenge_closed"
    assert await world.count("device_sessions") == 1


async def test_200_wrong_codes_at_once(world: Any) -> None:
    """Of 200 concurrent wrong codes exactly five are evaluated."""
    challenge, code = await world.challenge()
    codes = [f"{(int(code.replace(' ', '')) + number) % 10**8:08d}" for number in range(1, 201)]
    answers = await asyncio.gather(*(world.confirm(challenge, each) for each in codes))
    assert Counter(answer["code"] for _, answer in answers) == {"code_wrong": 5, "challenge_closed": 195}


async def test_200_right_codes_at_once(world: Any) -> None:
    """Of 200 concurrent right codes one makes the only session."""
    challenge, code = await world.challenge()
    answers = await asyncio.gather(*(world.confirm(challenge, code) for _ in range(200)))
    assert Counter(status for status, _ in answers) == {201: 1, 401: 199}
    assert (await world.count("device_sessions"), len(world.accounts.accounts)) == (1, 1)


async def test_50_sends_at_once(world: Any) -> None:
    """Of 50 concurrent requests for one address, in many spellings and from many places, exactly one code is sent."""
    emails = [("ada@example.test", "Ada@example.test", "ADA@EXAMPLE.TEST")[number % 3] for number in range(50)]
    sends = (world.send(email, address=f"192.0.2.{number}") for number, email in enumerate(emails))
    answers = await asyncio.gather(*sends)
    assert Counter(status for status, _ in answers) == {202: 1, 429: 49}
    assert {answer["retry_after"] for status, answer in answers if status == 429} == {"60"}
    assert len(world.outbox.messages) == 1


async def test_resend_interval(world: Any) -> None:
    """An address waits for the interval, with the exact time in the answer; other addresses do not wait."""
    await world.challenge()
    world.clock.advance(timedelta(seconds=17.5))
    status, problem = await world.send("ADA@example.test")
    assert (status, problem["code"], problem["retry_after"]) == (429, "too_many_requests", "43")
    assert (await world.send("bob@example.test"))[0] == 202
    world.clock.advance(timedelta(seconds=42.5))
    assert (await world.send())[0] == 202


async def test_codes_a_day(make_world: Any) -> None:
    """An address gets so many codes in any 24 hours; refused ones are not counted."""
    world = await make_world(codes_per_email_per_day="3", code_ttl="1m")
    for _ in range(3):
        await world.challenge()
        world.clock.advance(timedelta(hours=2))
    for _ in range(3):
        status, problem = await world.send()
        assert (status, problem["retry_after"]) == (429, str(18 * 3600))
    world.clock.advance(timedelta(hours=18))
    assert (await world.send())[0] == 202
    world.clock.advance(timedelta(minutes=10))
    assert (await world.send())[1]["retry_after"] == str(2 * 3600 - 600)


async def test_codes_an_hour_of_one_client(make_world: Any) -> None:
    """A client gets so many codes in any hour, whatever the addresses; an IPv6 client has the whole /64."""
    world = await make_world(codes_per_ip_per_hour="3")
    for number in range(3):
        assert (await world.send(f"p{number}@example.test", address=f"2001:db8::{number}"))[0] == 202
        world.clock.advance(timedelta(minutes=10))
    status, problem = await world.send("p4@example.test", address="2001:db8::ffff:1")
    assert (status, problem["retry_after"]) == (429, str(30 * 60))
    assert (await world.send("p5@example.test", address="2001:db8:0:1::1"))[0] == 202
    world.clock.advance(timedelta(minutes=30))
    assert (await world.send("p4@example.test", address="2001:db8::ffff:1"))[0] == 202


async def test_the_longest_wait_counts(make_world: Any) -> None:
    """When several throttles apply, the answer has the longest wait: after it the code is sent."""
    world = await make_world(codes_per_ip_per_hour="1", codes_per_email_per_day="1")
    await world.challenge()
    world.clock.advance(timedelta(seconds=1))
    assert (await world.send())[1]["retry_after"] == str(86400 - 1)


async def test_others_never_burn_a_challenge(world: Any) -> None:
    """A caller who knows only the address cannot close a challenge of its holder."""
    challenge, code = await world.challenge()
    world.clock.advance(timedelta(minutes=1))
    foreign, _ = await world.challenge()
    for _ in range(8):
        await world.confirm(foreign, wrong(code))
    assert (await world.confirm(challenge, code))[0] == 201


async def test_dump_yields_neither_code_nor_token(world: Any) -> None:
    """No row of any table has the code, the token, or the client's address, plain or in hexadecimal."""
    challenge, code = await world.challenge(address="198.51.100.77")
    _, answer = await world.confirm(challenge, code)
    dump = (await world.dump()).lower()
    token = answer["session_token"].removeprefix("gxs_")
    digits = code.replace(" ", "")
    assert challenge in dump
    assert answer["session_id"] in dump
    for secret in (code, digits, token, answer["session_token"], "198.51.100.77"):
        assert secret.lower() not in dump
        assert secret.encode().hex() not in dump


async def test_throttles_hold_across_replicas(make_world: Any) -> None:
    """Two replicas count together."""
    one = await make_world()
    other = await make_world(beside=one)
    answers = await asyncio.gather(*(each.send() for each in (one, other) * 10))
    assert Counter(status for status, _ in answers) == {202: 1, 429: 19}
