"""Sending and redeeming codes: the rules A-1 to A-4, on a real database."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

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


async def test_mail_goes_with_the_challenge(make_world: Any) -> None:
    """The mail goes to the address as typed, in the language asked for, and ends with its code; it says when."""
    world = await make_world(code_ttl="270s")
    status, answer = await world.send("Ada@Example.test", locale="de-at")
    message = world.outbox.messages[0]
    assert status == 202
    assert (message.kind, message.recipient, message.language) == ("auth.sign_in_code", "Ada@Example.test", "de-AT")
    assert message.expires_at == world.clock.now() + timedelta(seconds=270)
    assert message.parameters["minutes"] == 5
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
    assert (await world.confirm(challenge, code, time_zone=7))[0] == 422
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


SPELLINGS = ("ada@example.test", "Ada@example.test", "ADA@EXAMPLE.TEST", "ada+news@example.test")


@pytest.mark.parametrize("network", ["2001:db8:7:{:x}::1", "192.0.2.{}"])
async def test_50_sends_at_once(world: Any, network: str) -> None:
    """Of 50 concurrent requests for one mailbox from one network, in many spellings, exactly one code is sent."""
    sends = (world.send(SPELLINGS[number % 4], address=network.format(number)) for number in range(50))
    answers = await asyncio.gather(*sends)
    assert Counter(status for status, _ in answers) == {202: 1, 429: 49}
    assert {answer["retry_after"] for status, answer in answers if status == 429} == {"60"}
    assert len(world.outbox.messages) == 1


async def test_50_sends_from_50_networks_at_once(make_world: Any) -> None:
    """All networks that never signed in to a mailbox together get three times the allowance of one, exactly."""
    world = await make_world(codes_per_email_per_day="5")
    sends = (world.send(SPELLINGS[number % 4], address=f"192.0.{number}.1") for number in range(50))
    answers = await asyncio.gather(*sends)
    assert Counter(status for status, _ in answers) == {202: 15, 429: 35}
    assert {answer["retry_after"] for status, answer in answers if status == 429} == {"86400"}


ATTACKER, HOME, TRAVEL = "203.0.113.7", "198.51.100.9", "2001:db8:5:600::1"


async def test_one_attacker_keeps_nobody_out(make_world: Any) -> None:
    """Whoever uses up the allowance of an address from one network, another network gets its code at once."""
    world = await make_world(resend_interval="0s")
    assert Counter([(await world.send(address=ATTACKER))[0] for _ in range(25)]) == {202: 20, 429: 5}
    challenge, code = await world.challenge(address=HOME)
    assert (await world.confirm(challenge, code))[0] == 201


@pytest.mark.parametrize("home", [HOME, "2001:db8:7:100::1"])
async def test_no_number_of_attackers_keeps_a_known_network_out(make_world: Any, home: str) -> None:
    """After any number of requests from elsewhere, in its own /48 too, a network that signed in gets its codes."""
    world = await make_world(codes_per_email_per_day="3", codes_per_hour="40", codes_per_ip_per_hour="5")
    challenge, code = await world.challenge(address=home)
    path, body = "/api/v1/public/auth/confirm-email-code", {"challenge_id": challenge, "code": code}
    assert (await world.ask("POST", path, address=home, json=body))[0] == 201
    world.clock.advance(timedelta(days=20))
    for number in range(60):
        await world.send(address=f"192.0.{number}.1")
        await world.send(address=f"2001:db8:7:{number + 0x500:x}::1")
        await world.send(f"other{number}@example.test", address=f"192.0.2.{number}")
    assert (await world.send(address=TRAVEL))[0] == 429
    for number in range(3):
        assert (await world.send(SPELLINGS[number], address=home))[0] == 202
        world.clock.advance(timedelta(seconds=60))
    assert (await world.send(address=home))[0] == 429, "its own allowance holds"


async def test_a_network_is_known_for_a_while(world: Any) -> None:
    """Sixty days after the last sign-in a network is a stranger again, and its mark is deleted."""
    challenge, code = await world.challenge(address=HOME)
    path, body = "/api/v1/public/auth/confirm-email-code", {"challenge_id": challenge, "code": code}
    await world.ask("POST", path, address=HOME, json=body)
    assert await world.count("auth_known_networks") == 1
    for days, known in ((59, True), (2, False)):
        world.clock.advance(timedelta(days=days))
        await world.send(address=HOME)
        query = "SELECT known FROM auth_challenges ORDER BY created_at DESC LIMIT 1"
        async with world.database.reading() as connection:
            assert (await connection.exec_driver_sql(query)).scalar_one() is known


async def test_all_codes_have_an_allowance(make_world: Any) -> None:
    """Whatever the addresses and networks, strangers together get so many codes an hour; then 429 says how long."""
    world = await make_world(codes_per_hour="10")
    for number in range(10):
        assert (await world.send(f"p{number}@example.test", address=f"192.0.2.{number}"))[0] == 202
    world.clock.advance(timedelta(minutes=20))
    status, problem = await world.send("p10@example.test", address="192.0.2.10")
    assert (status, problem["retry_after"]) == (429, str(40 * 60))
    world.clock.advance(timedelta(minutes=40))
    assert (await world.send("p10@example.test", address="192.0.2.10"))[0] == 202


@pytest.mark.parametrize(("networks", "allowed"), [("2001:db8:77:{:x}::1", 120), ("2001:db8:77:{:x}00::1", 240)])
async def test_ipv6_counts_wider_networks_too(make_world: Any, networks: str, allowed: int) -> None:
    """A subscriber with many /64 networks gets twice the allowance of one from a /56, four times from a /48."""
    world = await make_world(codes_per_ip_per_hour="60")
    sends = [await world.send(f"p{n}@example.test", address=networks.format(n % 250)) for n in range(allowed + 5)]
    assert Counter(status for status, _ in sends) == {202: allowed, 429: 5}
    assert (await world.send("q@example.test", address="2001:db8:78::1"))[0] == 202


async def test_many_wrong_codes_leave_strangers_fewer_attempts(make_world: Any) -> None:
    """Past the hour's allowance of wrong codes a stranger's new challenge has two attempts; the right code opens."""
    world = await make_world(wrong_codes_per_hour="5")
    challenge, code = await world.challenge()
    for _ in range(5):
        await world.confirm(challenge, wrong(code))
    for right in (False, True):
        challenge, code = await world.challenge(f"bob{right}@example.test")
        assert "one attempt" in (await world.confirm(challenge, wrong(code)))[1]["detail"]
        status, answer = await world.confirm(challenge, code if right else wrong(code))
        assert status == (201 if right else 401)
        assert right or "last attempt" in answer["detail"]
        assert (await world.confirm(challenge, code))[1]["code"] == "challenge_closed"
    world.clock.advance(timedelta(hours=1))
    challenge, code = await world.challenge("eve@example.test")
    assert "4 tries" in (await world.confirm(challenge, wrong(code)))[1]["detail"]


async def test_wrong_codes_and_refusals_are_warned_of(world: Any) -> None:
    """Each is a line in the log with the address's hash, and never the address, the code or the client."""
    challenge, code = await world.challenge(address=HOME)
    with capture_logs() as lines:
        await world.confirm(challenge, wrong(code))
        await world.send(address=HOME)
    found = {line["event"]: line for line in lines if line["log_level"] == "warning"}
    assert found["sign_in_code_wrong"]["tries_left"] == 4
    assert (found["sign_in_refused"]["throttle"], found["sign_in_refused"]["retry_in_seconds"]) == ("newest", 60)
    assert len({found[event]["email_hash"] for event in ("sign_in_code_wrong", "sign_in_refused")}) == 1
    assert not [secret for secret in ("ada@", code, wrong(code), HOME) if secret in str(lines)]


async def test_a_challenge_of_a_wrong_clock_does_not_count(world: Any) -> None:
    """A row written an hour ahead, by a replica of an earlier release, holds nobody up."""
    await world.challenge()
    async with world.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE auth_challenges SET created_at = created_at + interval '1 hour'")
    assert (await world.send())[0] == 202


async def test_the_address_goes_with_the_challenge(world: Any) -> None:
    """A challenge that is redeemed or has expired keeps no address."""
    challenge, code = await world.challenge()
    await world.confirm(challenge, code)
    assert "ada@" not in await world.dump()
    await world.challenge("bob@example.test")
    world.clock.advance(timedelta(minutes=5))
    workers = dict(world.booted.kernel.assembly.plugins.call("backend_workers"))["auth"]
    await next(worker.run for worker in workers if worker.name == "auth.prune")()
    assert "bob@" not in await world.dump()
    assert await world.count("auth_challenges") == 2


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
    world = await make_world(codes_per_ip_per_hour="3")  # the wider networks have more, see below
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
