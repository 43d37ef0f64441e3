"""The worker on a real database and real relays: retries, pauses, expiry, fencing, and kill -9."""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import select, text, update

from galaxy_chassis.request_context import current_request
from galaxy_devkit.testing.processes import process_of
from galaxy_kernel.api import new_id
from galaxy_mail.conversation import Reply
from galaxy_mail.sealing import Sealer
from galaxy_mail.tables import mail_attempts, mail_deliveries


@pytest.fixture
async def deliverer(rig: Any, relay: Any, transport_to: Any) -> AsyncIterator[Any]:
    """Return a worker that sends to the scripted relay."""
    yield rig.deliverer(transport_to(relay.port))


async def test_due_mail_is_sent(rig: Any, relay: Any, deliverer: Any) -> None:
    """A pass sends due mails: the stored bytes, once, recorded with the relay's reply."""
    delivery = await rig.enqueue()
    mime = (await rig.row(delivery)).mime
    assert await deliverer.run() is False
    row = await rig.row(delivery)
    assert (row.state, row.attempts, row.last_error) == ("sent", 1, None)
    assert relay.messages == [mime]
    assert await rig.attempts(delivery) == [(1, "sent", 250)]


async def test_transient_refusals_are_retried_with_the_same_bytes(rig: Any, relay: Any, deliverer: Any) -> None:
    """After a transient refusal the mail waits and is sent again, byte for byte the same, with the same Message-ID."""
    delivery = await rig.enqueue()
    relay.script["."] = ["451 4.3.0 later", "drop after dot"]
    for attempts in (1, 2):
        await deliverer.run()
        row = await rig.row(delivery)
        assert (row.state, row.attempts) == ("retrying", attempts)
        await rig.pass_time(hours=1)
    await deliverer.run()
    assert len(relay.messages) == 2 and len(set(relay.messages)) == 1
    assert await rig.attempts(delivery) == [(1, "retrying", 451), (2, "retrying", None), (3, "sent", 250)]


async def test_attempts_and_the_relay_are_measured(rig: Any, relay: Any, transport_to: Any) -> None:
    """Each attempt counts once, by outcome and kind, and the relay is up until it refuses us."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("test")
    deliverer = rig.deliverer(transport_to(relay.port), meter)

    def measured(name: str) -> dict[tuple[Any, ...], float]:
        data: Any = reader.get_metrics_data()
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        points = [point for each in metrics if each.name == name for point in each.data.data_points]
        return {tuple(point.attributes.values()): point.value for point in points}

    await rig.enqueue()
    relay.script["."] = ["451 4.3.0 later"]
    for _ in range(2):
        await deliverer.run()
        await rig.pass_time(hours=1)
    attempts = {("retrying", "test.welcome"): 1, ("sent", "test.welcome"): 1}
    assert (measured("mail.attempts"), measured("mail.relay_up")) == (attempts, {(): 1})
    relay.script["GREETING"] = "554 5.7.1 go away"
    relay.cut_all()
    await rig.enqueue()
    await deliverer.run()
    assert (measured("mail.attempts"), measured("mail.relay_up")) == (attempts, {(): 0})


async def test_attempts_run_out(rig: Any, relay: Any, deliverer: Any) -> None:
    """A mail that keeps failing is dead-lettered after BACKEND_MAIL_MAX_ATTEMPTS (8), with the last reason."""
    delivery = await rig.enqueue()
    relay.script["RCPT"] = "450 4.2.1 greylisted"
    for _ in range(9):
        await deliverer.run()
        await rig.pass_time(hours=1)
    row = await rig.row(delivery)
    assert (row.state, row.attempts, row.last_error) == ("dead_lettered", 8, "RCPT TO: 450 4.2.1 greylisted")


async def test_permanent_refusal_ends_at_once(rig: Any, relay: Any, deliverer: Any) -> None:
    """A permanent refusal dead-letters at the first attempt; its reason has no address."""
    delivery = await rig.enqueue("ada@example.test")
    relay.script["RCPT"] = "550 5.1.1 <ada@example.test> unknown"
    await deliverer.run()
    row = await rig.row(delivery)
    assert (row.state, row.last_error) == ("dead_lettered", "RCPT TO: 550 5.1.1 <address> unknown")


async def test_resend_appends(rig: Any, relay: Any, deliverer: Any) -> None:
    """After a resend the attempts' numbers continue, and the budget is full again."""
    delivery = await rig.enqueue()
    relay.script["RCPT"] = ["550 5.1.1 unknown"]
    await deliverer.run()
    await rig.deliveries.resend(delivery)
    await deliverer.run()
    assert await rig.attempts(delivery) == [(1, "dead_lettered", 550), (2, "sent", 250)]


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("GREETING", "554 5.7.1 no"),
        ("EHLO", "drop"),
        ("MAIL", "550 5.7.1 sender refused"),
        ("MAIL", "hang"),
        ("MAIL", "451 4.3.0 disk"),
        ("RCPT", "530 5.7.0 log in"),
        ("RCPT", "554 5.7.1 <ada@example.test>: Relay access denied"),
        ("RCPT", "454 4.7.1 <ada@example.test>: Relay access denied"),
        ("RCPT", "554 5.7.1 <galaxy@example.test>: Sender address rejected: Access denied"),
        ("RCPT", "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname"),
        ("RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.example"),
        ("RCPT", "drop"),
        ("RCPT", "hang"),
        ("DATA", "drop"),
        ("DATA", "hang"),
        (".", "550 5.4.5 Daily user sending limit exceeded"),
    ],
)
async def test_relay_down_burns_no_attempt(rig: Any, relay: Any, transport_to: Any, verb: str, answer: str) -> None:
    """While the relay serves nobody, sending pauses, no mail loses an attempt, and the probe reports it."""
    silent = answer in ("drop", "hang")
    deliverer = rig.deliverer(transport_to(relay.port, timeout="300ms" if answer == "hang" else "20s"))
    deliveries = [await rig.enqueue() for _ in range(20)]
    relay.script[verb] = answer
    for _ in range(3 if silent else 12):
        await deliverer.run()
        connections = relay.connections
        await deliverer.run()
        assert relay.connections == connections  # it pauses
        health = await deliverer.health()
        assert health.state == "degraded" and "BACKEND_SMTP_HOST" in health.detail
        assert silent or answer.replace("ada@example.test", "address").partition("<")[0] in health.detail
        await rig.pass_time(seconds=30)
    for delivery in deliveries:
        row = await rig.row(delivery)
        assert (row.state, row.attempts) == ("pending", 0)
        assert await rig.attempts(delivery) == []
    relay.script.clear()
    await deliverer.run()
    assert (await deliverer.health()).state == "ok"
    assert {(await rig.row(delivery)).state for delivery in deliveries} == {"sent"}


async def put_back(rig: Any, deliverer: Any, ids: list[Any]) -> None:
    """Check that mails are to be sent again, with nothing burnt, and that the relay is reported."""
    assert (await deliverer.health()).state == "degraded"
    for delivery in ids:
        row = await rig.row(delivery)
        assert row.state in ("pending", "retrying")
        assert row.attempts == row.attempts_before_resend


@pytest.mark.parametrize("answer", ["554 go away", "451 4.7.1 go away", "550 5.7.1 policy"])
@pytest.mark.parametrize("verb", ["RCPT", "DATA", "."])
async def test_the_same_refusal_for_everybody_is_the_relays(
    rig: Any, relay: Any, deliverer: Any, verb: str, answer: str
) -> None:
    """Recipients at several domains refused in the same words, whatever they are, are put back and sent later."""
    ids = [await rig.enqueue(f"ada@{number}.example.test") for number in range(6)]
    relay.script[verb] = answer
    for _ in range(3):
        await deliverer.run()
        await put_back(rig, deliverer, ids)
        await rig.pass_time(seconds=30)
    assert sum([len(await rig.attempts(delivery)) for delivery in ids]) <= 6  # later passes try none
    relay.script.clear()
    await deliverer.run()
    assert {(await rig.row(delivery)).state for delivery in ids} == {"sent"}
    assert (await deliverer.health()).state == "ok"


async def test_mails_put_back_keep_their_numbers(rig: Any, relay: Any, deliverer: Any) -> None:
    """An attempt that was the relay's fault stays in the history, and the next one has the next number."""
    ids = [await rig.enqueue(f"ada@{number}.example.test") for number in range(3)]
    relay.script["RCPT"] = ["554 go away"] * 3
    await deliverer.run()
    await rig.pass_time(seconds=30)
    await deliverer.run()
    for delivery in ids:
        assert await rig.attempts(delivery) == [(1, "dead_lettered", 554), (2, "sent", 250)]


async def test_a_refusal_between_accepted_mails_stays_final(rig: Any, relay: Any, deliverer: Any) -> None:
    """Single refusals in the same words, with mails accepted between, are each recipient's own."""
    relay.script["RCPT"] = ["554 go away", "250 ok"] * 4
    ids = [await rig.enqueue(f"ada@{number}.example.test") for number in range(8)]
    deliverer._pump.senders = 1
    await deliverer.run()
    assert Counter([(await rig.row(delivery)).state for delivery in ids]) == {"sent": 4, "dead_lettered": 4}
    assert (await deliverer.health()).state == "ok"


async def test_a_mail_that_looks_like_an_outage_stops_nobody(rig: Any, relay: Any, deliverer: Any) -> None:
    """One recipient whose refusal reads as if the relay refused us costs a pause, then attempts of its own."""
    poison = await rig.enqueue("eve@evil.example.test")
    relay.script["RCPT"] = ["554 5.7.1 Relay access denied"]
    await deliverer.run()
    assert (await deliverer.health()).state == "degraded"
    await rig.pass_time(seconds=30)
    other = await rig.enqueue()
    relay.script["RCPT"] = ["554 5.7.1 Relay access denied", "250 ok"]
    await deliverer.run()
    await rig.pass_time(seconds=30)
    relay.script["RCPT"] = "554 5.7.1 Relay access denied"
    await deliverer.run()
    assert (await rig.row(other)).state == "sent"
    assert ((await rig.row(poison)).state, (await rig.row(poison)).attempts) == ("retrying", 1)
    assert (await deliverer.health()).state == "ok"


async def test_silence_after_the_message_is_reported_and_counts(rig: Any, relay: Any, transport_to: Any) -> None:
    """A relay that hangs after each message is degraded too; its mails may have gone, so they use attempts."""
    deliverer = rig.deliverer(transport_to(relay.port, timeout="300ms"))
    ids = [await rig.enqueue(f"ada@{number}.example.test") for number in range(4)]
    relay.script["."] = "hang"
    await deliverer.run()
    assert (await deliverer.health()).state == "degraded"
    rows = [await rig.row(delivery) for delivery in ids]
    assert {(row.state, row.attempts, row.attempts_before_resend) for row in rows} == {("retrying", 1, 0)}
    assert all(row.last_error.endswith("; the relay may have accepted it") for row in rows)


async def test_the_relay_stays_degraded_until_it_serves(rig: Any, relay: Any, deliverer: Any) -> None:
    """With nothing left to send, a relay that refused us is not called well again: no mail has shown it."""
    await rig.enqueue(expires_at=datetime.now(UTC) + timedelta(minutes=5))
    relay.script["RCPT"] = "554 5.7.1 Relay access denied"
    await deliverer.run()
    await rig.pass_time(minutes=6)
    await deliverer.run()
    assert (await deliverer.health()).state == "degraded"
    relay.script.clear()
    await rig.enqueue()
    await deliverer.run()
    assert (await deliverer.health()).state == "ok"


async def test_pauses_grow_to_half_a_minute(rig: Any, relay: Any, deliverer: Any) -> None:
    """The pause doubles with jitter, and no mail waits longer than 30 s for a relay that is back."""
    relay.script["GREETING"] = "421 4.3.2 down"
    await rig.enqueue()
    pauses = []
    for _ in range(8):
        wanted = await deliverer.run()
        assert await deliverer.run() == wanted  # the rest of the pause, after which the worker is to come back
        pauses.append(wanted.total_seconds())
        rig.clock.advance(timedelta(seconds=30))
    assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:5]))
    assert all(15 <= pause <= 30 for pause in pauses[5:])


async def test_expired_mail_is_never_sent(rig: Any, relay: Any, deliverer: Any) -> None:
    """A mail past its expiry ends dead-lettered as `expired`, wiped if it was sealed, and the relay never sees it."""
    plain = await rig.enqueue(expires_at=datetime.now(UTC) + timedelta(minutes=5))
    code = await rig.enqueue_code()
    await rig.pass_time(minutes=5)
    await deliverer.run()
    assert relay.connections == 0
    for delivery in (plain, code):
        row = await rig.row(delivery)
        assert (row.state, row.last_error, row.sealed) == ("dead_lettered", "expired", None)


async def test_mails_expire_while_sending_pauses(rig: Any, relay: Any, deliverer: Any) -> None:
    """A relay that is down does not keep mails from expiring, nor secrets from being wiped; a warning counts them."""
    code = await rig.enqueue_code()
    relay.script["GREETING"] = "421 4.3.2 down"
    await deliverer.run()
    await rig.pass_time(minutes=5)
    deliverer._resume_at = rig.clock.monotonic() + 100
    with structlog.testing.capture_logs() as lines:
        await deliverer.run()
    assert [line["mails"] for line in lines if line["event"] == "mails_expired_unsent"] == [1]
    row = await rig.row(code)
    assert (row.state, row.last_error, row.sealed) == ("dead_lettered", "expired", None)


async def test_sealed_mail_is_sent_and_wiped(rig: Any, relay: Any, deliverer: Any) -> None:
    """A sealed mail is sent in plain to its recipient, and nothing of it is left in the database."""
    delivery = await rig.enqueue_code()
    await deliverer.run()
    assert b"Your code is 40817263." in relay.messages[0]
    row = await rig.row(delivery)
    assert (row.state, row.sealed, row.mime) == ("sent", None, None)


async def test_mail_sealed_under_another_key(rig: Any, relay: Any, deliverer: Any) -> None:
    """A mail that cannot be unsealed is dead-lettered with the reason, and others are sent."""
    delivery, other = await rig.enqueue_code(), await rig.enqueue()
    deliverer._sealer = Sealer(bytes(32))
    await deliverer.run()
    row = await rig.row(delivery)
    assert row.state == "dead_lettered" and "BACKEND_SECRET_KEY" in row.last_error
    assert (await rig.row(other)).state == "sent"


async def test_attempts_are_told_under_the_request_id(rig: Any, relay: Any, deliverer: Any) -> None:
    """Each attempt is logged under the row's request id, at a level by its outcome, without an address."""
    delivery = await rig.enqueue("ada@example.test")
    relay.script["RCPT"] = ["450 4.2.1 later", "550 5.1.1 <ada@example.test> unknown"]
    seen: list[str] = []

    def note(_logger: Any, _name: str, line: Any) -> Any:
        work = current_request.get()
        seen.append("" if work is None else work.request_id)
        return line

    logs = structlog.testing.LogCapture()
    structlog.configure(processors=[note, logs])
    try:
        for _ in range(2):
            await deliverer.run()
            await rig.pass_time(hours=1)
    finally:
        structlog.reset_defaults()
    told = [(line["log_level"], line["outcome"], line["attempt_no"], line["smtp_code"]) for line in logs.entries]
    assert told == [("info", "retrying", 1, 450), ("warning", "dead_lettered", 2, 550)]
    assert seen == [(await rig.row(delivery)).request_id] * 2
    assert "ada@" not in str(logs.entries)


class Broken:
    """A transport with a bug for one recipient."""

    async def send(self, recipient: str, content: bytes) -> Reply:
        if recipient.startswith("bug"):
            raise KeyError(recipient)
        return Reply(250, "ok")

    async def check(self) -> None: ...

    async def trim(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_bug_costs_one_mail_an_attempt(rig: Any) -> None:
    """An unexpected error is this mail's failed attempt, without its message; the others are sent."""
    broken, fine = await rig.enqueue("bug@example.test"), await rig.enqueue()
    await rig.deliverer(Broken()).run()
    row = await rig.row(broken)
    assert (row.state, row.last_error) == ("retrying", "internal error: KeyError")
    assert (await rig.row(fine)).state == "sent"


class Sleepy(Broken):
    """A transport that can pause its worker in the middle of a mail."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.asleep, self.wake = asyncio.Event(), asyncio.Event()

    async def send(self, recipient: str, content: bytes) -> Reply:
        self.asleep.set()
        await self.wake.wait()
        self.sent.append(content)
        return Reply(250, "ok")


async def test_paused_worker_is_fenced_off(rig: Any, relay: Any, deliverer: Any) -> None:
    """A worker paused beyond its lease finds its mail recorded by its successor, and changes nothing."""
    delivery = await rig.enqueue()
    sleepy = Sleepy()
    sleeping = asyncio.create_task(rig.deliverer(sleepy).run())
    await sleepy.asleep.wait()
    await rig.pass_time(seconds=76)
    relay.script["RCPT"] = "550 5.1.1 unknown"
    await deliverer.run()
    before = await rig.row(delivery)
    assert before.state == "dead_lettered"
    sleepy.wake.set()
    await sleeping
    assert await rig.row(delivery) == before
    assert await rig.attempts(delivery) == [(1, "lost", None), (2, "dead_lettered", 550)]


async def test_account_deleted_while_its_mail_is_sent(rig: Any) -> None:
    """A mail being sent when its account is deleted ends as `account_deleted`, whatever its worker reports."""
    delivery = await rig.enqueue()
    sleepy = Sleepy()
    sleeping = asyncio.create_task(rig.deliverer(sleepy).run())
    await sleepy.asleep.wait()
    async with rig.database.transaction() as connection:
        await rig.deliveries.forget(connection, new_id(), "ada@example.test", datetime.now(UTC))
    sleepy.wake.set()
    await sleeping
    row = await rig.row(delivery)
    assert (row.state, row.last_error, row.recipient) == ("dead_lettered", "account_deleted", None)


async def test_several_workers_send_each_mail_once(rig: Any, sink: Any, transport_to: Any) -> None:
    """Three concurrent workers empty the queue, and each mail is sent once."""
    ids = [await rig.enqueue(f"player{number}@example.test") for number in range(100)]
    await asyncio.gather(*(rig.deliverer(transport_to(sink.port)).run() for _ in range(3)))
    assert Counter(recipient for recipient, _ in sink.received) == {f"player{n}@example.test": 1 for n in range(100)}
    assert {(await rig.row(delivery)).state for delivery in ids} == {"sent"}


async def drained(rig: Any) -> bool:
    async with rig.database.reading() as connection:
        pending = select(mail_deliveries.c.id).where(mail_deliveries.c.state.in_(["pending", "retrying"])).limit(1)
        return (await connection.execute(pending)).first() is None


async def check_deliveries(rig: Any, received: list[tuple[str, bytes]]) -> None:
    """No mail is lost; one arrives twice only unchanged, and only if an attempt's worker was lost."""
    async with rig.database.reading() as connection:
        rows = (await connection.execute(select(mail_deliveries))).all()
        attempts = (await connection.execute(select(mail_attempts))).all()
    by_recipient: dict[str, list[bytes]] = {}
    for recipient, content in received:
        by_recipient.setdefault(recipient, []).append(content)
    for row in rows:
        copies, own = by_recipient[row.recipient], [each for each in attempts if each.delivery_id == row.id]
        assert row.state == "sent"
        assert set(copies) == {row.mime}
        lost = sum(each.outcome != "sent" for each in own)
        assert len(copies) <= 1 + lost
        assert sorted(each.attempt_no for each in own) == list(range(1, row.attempts + 1))


async def test_lost_connections_lose_no_mail(rig: Any, sink: Any, transport_to: Any) -> None:
    """Workers whose database connections are cut repeatedly still send every mail."""
    for number in range(120):
        await rig.enqueue(f"player{number}@example.test")
    deliverers = [rig.deliverer(transport_to(sink.port)) for _ in range(2)]
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def work(deliverer: Any) -> None:
        while not await drained(rig):
            with contextlib.suppress(Exception):
                await deliverer.run()

    async def interfere() -> None:
        for _ in range(6):
            await asyncio.sleep(0.02)
            with contextlib.suppress(Exception):
                async with rig.database.reading() as connection:
                    await connection.execute(cut)
        await asyncio.sleep(0.2)
        async with rig.database.transaction() as connection:  # no need to wait for the leases of what was cut
            await connection.execute(
                update(mail_deliveries)
                .where(mail_deliveries.c.claimed_at.is_not(None))
                .values(next_attempt_at=datetime.now(UTC))
            )

    async with asyncio.timeout(30):
        await asyncio.gather(*(retrying(work, each, rig) for each in deliverers), interfere())
    await check_deliveries(rig, sink.received)


async def retrying(work: Any, deliverer: Any, rig: Any) -> None:
    while True:
        try:
            await work(deliverer)
        except Exception:
            await asyncio.sleep(0.01)
        else:
            return


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_workers_lose_no_mail(rig: Any, sink: Any, empty_database: str, seed: int) -> None:
    """Workers killed at random lines lose no mail; a repetition is the same mail, and its lost attempt is recorded."""
    for number in range(60):
        await rig.enqueue(f"player{number}@example.test")
    program = Path(__file__).with_name("killed_workers.py")
    arguments = (sys.executable, str(program), empty_database, str(sink.port), "12", str(seed))
    async with process_of(*arguments) as process:
        assert await process.wait() == 0
    await check_deliveries(rig, sink.received)
    async with rig.database.reading() as connection:
        lost = select(mail_attempts.c.outcome).where(mail_attempts.c.outcome == "lost")
        assert (await connection.execute(lost)).all(), "no worker was killed while it sent a mail"
