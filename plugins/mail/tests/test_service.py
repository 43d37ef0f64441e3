"""Queueing mails with the caller's transaction, and what operators do with the queue."""

import asyncio
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, text

from galaxy_contracts.mail import MailKind, Message
from galaxy_contracts.testing import FakeOutbox
from galaxy_kernel.api import Connection, Paging, Problem, new_id, request_context
from galaxy_mail import queries
from galaxy_mail.domain import Draft
from galaxy_mail.tables import mail_attempts, mail_deliveries


async def count(rig: Any) -> int:
    async with rig.database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(mail_deliveries))).scalar_one())


async def test_enqueue_writes_a_pending_row(rig: Any) -> None:
    """A queued mail is a row that is due now, with its bytes and its request id, and wakes the worker."""
    with request_context("auth", "req-1"):
        delivery = await rig.enqueue("Ada@Example.test")
    row = await rig.row(delivery)
    assert (row.state, row.attempts, row.kind, row.recipient) == ("pending", 0, "test.welcome", "Ada@example.test")
    assert row.message_id == f"<{delivery}@example.test>" and row.request_id == "req-1"
    assert f"Message-ID: {row.message_id}\r\n".encode() in row.mime
    assert row.next_attempt_at == row.created_at and row.sealed is None
    assert rig.woken == 1


async def test_a_link_to_unsubscribe_is_fixed_with_the_mail(rig: Any) -> None:
    """It is among the stored bytes, which every attempt sends: in its header and in both texts."""
    row = await rig.row(await rig.enqueue(unsubscribe_url="https://play.test/off"))
    mail = message_from_bytes(row.mime, policy=policy.default)
    assert mail["List-Unsubscribe"] == "<https://play.test/off>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert all("https://play.test/off" in part.get_content() for part in mail.iter_parts())


async def test_rolls_back_with_the_caller(rig: Any) -> None:
    """A mail queued in a transaction that rolls back does not exist."""
    with pytest.raises(ZeroDivisionError):
        async with rig.database.transaction() as connection:
            await rig.outbox.enqueue(connection, Message("test.welcome", "ada@example.test", "en", {"name": "Ada"}))
            raise ZeroDivisionError
    assert await count(rig) == 0


async def test_replayed_key_adds_nothing(rig: Any) -> None:
    """The second mail with a kind and key is the first one; another kind or no key is another mail."""
    first = await rig.enqueue(idempotency_key="turn-7")
    assert await rig.enqueue(idempotency_key="turn-7", parameters={"name": "Eve"}) == first
    assert rig.woken == 1
    await rig.enqueue_code(idempotency_key="turn-7")
    await rig.enqueue()
    await rig.enqueue()
    assert await count(rig) == 4


async def test_parallel_replays_are_one_mail(rig: Any) -> None:
    """Fifty concurrent callers with one key get one id, and one mail is queued."""
    ids = await asyncio.gather(*(rig.enqueue(idempotency_key="once") for _ in range(50)))
    assert len(set(ids)) == 1 and await count(rig) == 1


async def test_key_of_a_rolled_back_mail_is_free(rig: Any) -> None:
    """A caller that waits for another one with its key queues the mail when that one rolls back."""
    message = Message("test.welcome", "ada@example.test", "en", {"name": "Ada"}, idempotency_key="k")
    async with rig.database.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        lost = await rig.outbox.enqueue(connection, message)
        waiting = asyncio.create_task(rig.enqueue(idempotency_key="k"))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        await connection.rollback()
    assert await waiting != lost and await count(rig) == 1


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"recipient": "nobody"}, "recipient"),
        ({"recipient": "ada@example.test\r\nBcc: eve@example.test"}, "recipient"),
        ({"parameters": {"name": "x\r\nBcc: eve@example.test"}}, "subject"),
        ({"kind": "test.other"}, "kind"),
        ({"expires_at": datetime(2030, 1, 1)}, "expires_at"),
        ({"idempotency_key": "turn\x007"}, "idempotency_key"),
        ({"idempotency_key": "7" * 256}, "idempotency_key"),
        ({"unsubscribe_url": "https://play.test/\r\nBcc: eve@example.test"}, "unsubscribe_url"),
    ],
)
async def test_refusals_leave_the_transaction_whole(rig: Any, changed: dict[str, Any], field: str) -> None:
    """A refused mail raises ValueError naming the field before the connection is used: the caller may continue."""
    message: dict[str, Any] = {
        "kind": "test.welcome",
        "recipient": "ada@example.test",
        "language": "en",
        "parameters": {"name": "Ada"},
    }
    async with rig.database.transaction() as connection:
        with pytest.raises(ValueError, match=f"^{field}: "):
            await rig.outbox.enqueue(connection, Message(**{**message, **changed}))
        await rig.outbox.enqueue(connection, Message(**message))
    assert await count(rig) == 1


async def test_failed_rendering_is_a_dead_letter(rig: Any) -> None:
    """A template that fails leaves a dead letter with the reason; caller and other mails are not affected."""
    async with rig.database.transaction() as connection:
        broken = await rig.outbox.enqueue(connection, Message("test.welcome", "ada@example.test", "en", {}))
        fine = await rig.outbox.enqueue(connection, Message("test.welcome", "ada@example.test", "en", {"name": "A"}))
    row = await rig.row(broken)
    assert (row.state, row.mime, row.next_attempt_at) == ("dead_lettered", None, None)
    assert row.last_error == "render_failed: welcome.en.txt: 'name' is undefined"
    assert (await rig.row(fine)).state == "pending"
    with pytest.raises(Problem, match="mail_has_no_content"):
        await rig.deliveries.resend(broken)


def message(recipient: str = "ada@example.test", **changed: Any) -> Message:
    return Message(
        **{"kind": "test.welcome", "recipient": recipient, "language": "en", "parameters": {"name": "Ada"}, **changed}
    )


@contextmanager
def statements(rig: Any) -> Iterator[list[str]]:
    """Collect the statements except the ends of transactions."""
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        seen.append(arguments[2].split()[0])

    event.listen(rig.database.engine.sync_engine, "before_cursor_execute", note)
    yield seen
    event.remove(rig.database.engine.sync_engine, "before_cursor_execute", note)


async def enqueue_many(rig: Any, messages: Sequence[Message]) -> list[UUID | ValueError]:
    async with rig.database.transaction() as connection:
        queued: list[UUID | ValueError] = await rig.outbox.enqueue_many(connection, messages)
        return queued


async def test_many_are_one_statement(rig: Any) -> None:
    """However many mails are queued at once, one INSERT writes them and the worker is woken once."""
    with statements(rig) as seen:
        queued = await enqueue_many(rig, [message(f"p{number}@example.test") for number in range(50)])
    assert seen == ["INSERT"] and rig.woken == 1
    rows = [await rig.row(delivery) for delivery in queued]
    assert [row.recipient for row in rows] == [f"p{number}@example.test" for number in range(50)]
    assert {(row.state, row.next_attempt_at == row.created_at) for row in rows} == {("pending", True)}
    assert all(f"To: {row.recipient}\r\n".encode() in row.mime for row in rows)


async def test_what_cannot_be_queued_disturbs_nobody(rig: Any) -> None:
    """Of many mails a faulty one returns its ValueError in its place, a failing template its dead letter."""
    queued = await enqueue_many(
        rig,
        [
            message("nobody"),
            message(),
            message(kind="test.other"),
            message(parameters={}),
            message(kind="test.code", parameters={"code": "40817263"}),
            message(expires_at=datetime(2030, 1, 1)),
        ],
    )
    faults = [str(each).partition(":")[0] for each in queued if isinstance(each, ValueError)]
    assert faults == ["recipient", "kind", "expires_at"]
    rows = [await rig.row(queued[place]) for place in (1, 3, 4)]
    assert [(row.state, row.mime is None, row.sealed is None) for row in rows] == [
        ("pending", False, True),
        ("dead_lettered", True, True),
        ("pending", True, False),
    ]
    assert rows[1].last_error.startswith("render_failed: ") and rows[1].finished_at is not None
    assert await count(rig) == 3


async def test_nothing_to_queue_is_no_statement(rig: Any) -> None:
    """No mail, or only refused ones, runs no statement."""
    with statements(rig) as seen:
        assert await enqueue_many(rig, []) == []
        [fault] = await enqueue_many(rig, [message("nobody")])
    assert isinstance(fault, ValueError) and seen == [] and rig.woken == 0


async def test_keys_hold_within_and_beyond_a_set(rig: Any) -> None:
    """The first mail of a kind and key is queued, whether a later one is in the same set or another."""
    before = await rig.enqueue(idempotency_key="there")
    keyed = [message(idempotency_key=key) for key in ("a", "there", "b", "a")]
    with statements(rig) as seen:
        first, there, second, again = await enqueue_many(
            rig, [*keyed[:3], message("eve@example.test", idempotency_key="a")]
        )
    assert there == before and again == first and len({first, there, second}) == 3
    assert seen == ["INSERT", "SELECT"]
    assert await enqueue_many(rig, keyed) == [first, there, second, first]
    assert (await rig.row(first)).recipient == "ada@example.test" and await count(rig) == 3


async def test_a_set_that_waits_locks_nobody_out(rig: Any) -> None:
    """A set that waits for another transaction's key holds no later one, so that the two cannot deadlock."""
    async with rig.database.transaction() as connection:
        [early] = await rig.outbox.enqueue_many(connection, [message(idempotency_key="a")])
        waiting = asyncio.create_task(enqueue_many(rig, [message(idempotency_key="b"), message(idempotency_key="a")]))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        [late] = await rig.outbox.enqueue_many(connection, [message(idempotency_key="b")])
    assert await waiting == [late, early] and await count(rig) == 2


async def test_parallel_sets_with_the_same_keys_are_the_same_mails(rig: Any) -> None:
    """Sets queued at once with the same keys in whatever order end with the same deliveries."""
    keys = [str(number) for number in range(30)]

    async def queue(seed: int) -> dict[str, Any]:
        order = random.Random(seed).sample(keys, len(keys))
        return dict(zip(order, await enqueue_many(rig, [message(idempotency_key=key) for key in order]), strict=True))

    first, *others = await asyncio.gather(*(queue(seed) for seed in range(8)))
    assert all(other == first for other in others) and await count(rig) == len(keys)


async def test_others_are_served_while_many_are_made(rig: Any) -> None:
    """Between two mails of a set the event loop runs other tasks."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turn())
    async with rig.database.transaction() as connection:
        making = asyncio.create_task(rig.outbox.enqueue_many(connection, [message("nobody")] * 20))
        await making
    other.cancel()
    assert turns >= 19


@pytest.mark.parametrize("seed", range(5))
async def test_fake_and_outbox_agree(rig: Any, seed: int) -> None:
    """For any mails, alone or in sets, the fake accepts and refuses the same and returns ids alike."""
    drawn, fake = random.Random(seed), FakeOutbox()
    for kind in ("test.welcome", "test.code"):
        fake.register(MailKind(kind, "mail_owner"))

    def draw() -> Message:
        return message(
            drawn.choice(["ada@example.test", "eve@example.test", "nobody", "ada@example.test\r\nBcc: x@y.test"]),
            kind=drawn.choice(["test.welcome", "test.welcome", "test.code", "test.other"]),
            parameters={"name": "Ada", "code": "1"},
            idempotency_key=drawn.choice([None, "a", "b", "c"]),
        )

    def shape(ids: Sequence[UUID | ValueError]) -> list[int]:
        return [-1 if isinstance(each, ValueError) else ids.index(each) for each in ids]

    real_ids: list[UUID | ValueError] = []
    fake_ids: list[UUID | ValueError] = []
    for _ in range(6):
        drafts = [draw() for _ in range(drawn.randrange(8))]
        real_ids += await enqueue_many(rig, drafts)
        fake_ids += await fake.enqueue_many(None, drafts)  # type: ignore[arg-type]  # it looks at no connection
    assert shape(real_ids) == shape(fake_ids) and await count(rig) == len(fake.messages)


async def test_dump_has_no_secret(rig: Any) -> None:
    """A dump of the table shows neither the code of a sealed mail nor any of its text."""
    delivery = await rig.enqueue_code()
    async with rig.database.reading() as connection:
        dump = (await connection.execute(text("SELECT d::text FROM mail_deliveries d"))).scalar_one()
    sealed = (await rig.row(delivery)).sealed
    for secret in (b"40817263", b"Your code is", b"Subject"):
        assert secret not in dump.encode() and secret.hex() not in dump and secret not in sealed
    assert b"Your code is 40817263" in rig.sealer.open(delivery, sealed)


async def test_register_raises_for_broken_templates(rig: Any, package: Path) -> None:
    """A kind with broken templates is refused when it is registered."""
    (package / "broken.en.txt").write_text("no subject")
    with pytest.raises(ValueError, match=r"package 'mail_owner': templates/broken\.en\.txt"):
        rig.outbox.register(MailKind("test.broken", "mail_owner"))


async def test_list_and_filters(rig: Any) -> None:
    """Deliveries are listed newest first, by state, kind and exact recipient in whatever case."""
    ada, eve, code = (
        await rig.enqueue("ada@example.test"),
        await rig.enqueue("eve@example.test"),
        await rig.enqueue_code(),
    )
    dead = await rig.enqueue("ada@example.test", parameters={})

    async def listed(page: int = 1, page_size: int = 50, **filters: str) -> tuple[list[UUID], int]:
        rows, total = await rig.deliveries.list_deliveries(Paging(page=page, page_size=page_size), **filters)
        return [row.id for row in rows], total

    assert await listed() == ([dead, code, eve, ada], 4)
    assert await listed(page=2, page_size=3) == ([ada], 4)
    assert await listed(state="dead_lettered") == ([dead], 1)
    assert await listed(state="pending", kind="test.welcome") == ([eve, ada], 2)
    assert await listed(recipient="ADA@EXAMPLE.TEST") == ([dead, code, ada], 3)
    assert await listed(recipient="ada@example") == ([], 0)


async def test_unknown_delivery(rig: Any) -> None:
    """An unknown delivery is 404 on every route."""
    for work in (
        rig.deliveries.show(new_id()),
        rig.deliveries.list_attempts(new_id(), Paging()),
        rig.deliveries.resend(new_id()),
    ):
        with pytest.raises(Problem, match="404 not_found"):
            await work


async def end(rig: Any, delivery: UUID, state: str) -> None:
    async with rig.database.transaction() as connection:
        await connection.execute(
            text(
                "UPDATE mail_deliveries SET state = :state, next_attempt_at = NULL, attempts = 8 WHERE id = :id"
            ).bindparams(state=state, id=delivery)
        )


async def test_resend(rig: Any) -> None:
    """A dead letter that is resent is due now with a fresh budget, and the worker is woken."""
    delivery = await rig.enqueue()
    await end(rig, delivery, "dead_lettered")
    row = await rig.deliveries.resend(delivery)
    assert (row.state, row.attempts) == ("pending", 8) and row.next_attempt_at is not None
    assert (await rig.row(delivery)).attempts_before_resend == 8
    assert rig.woken == 2


async def test_sent_mail_is_not_resent(rig: Any) -> None:
    """A mail that was sent stays sent: 409 mail_already_sent."""
    delivery = await rig.enqueue()
    await end(rig, delivery, "sent")
    with pytest.raises(Problem, match="409 mail_already_sent"):
        await rig.deliveries.resend(delivery)
    assert (await rig.deliveries.show(delivery)).state == "sent"


async def test_expired_mail_is_not_resent(rig: Any, relay: Any, transport_to: Any) -> None:
    """A mail that has expired is not requeued, wiped or not: 409 mail_expired."""
    delivery = await rig.enqueue_code(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(Problem, match="409 mail_expired"):
        await rig.deliveries.resend(delivery)
    await rig.deliverer(transport_to(relay.port)).run()
    assert (await rig.row(delivery)).sealed is None
    with pytest.raises(Problem, match="409 mail_expired"):
        await rig.deliveries.resend(delivery)


async def test_a_mail_goes_back_to_the_request_it_names(rig: Any) -> None:
    """A mail carries the request id of its message; else the current one."""
    with request_context("test", "the current one"):
        named, unnamed = await rig.enqueue(request_id="another"), await rig.enqueue()
    assert (await rig.row(named)).request_id == "another"
    assert (await rig.row(unnamed)).request_id == "the current one"


async def queued_before(rig: Any, age: timedelta, state: str) -> UUID:
    """Insert a mail that was queued so long ago, with one attempt."""
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    delivery = UUID(int=(milliseconds << 80) | random.getrandbits(80))
    row = {"id": delivery, "kind": "test.welcome", "message_id": "<x@y>", "request_id": "r", "state": state}
    attempt = {"delivery_id": delivery, "attempt_no": 1, "started_at": datetime.now(UTC), "outcome": state}
    async with rig.database.transaction() as connection:
        await connection.execute(mail_deliveries.insert(), row)
        await connection.execute(mail_attempts.insert(), attempt)
    return delivery


async def kept(rig: Any) -> set[UUID]:
    """Return the deliveries; the attempts must be theirs."""
    async with rig.database.reading() as connection:
        deliveries = set((await connection.execute(select(mail_deliveries.c.id))).scalars())
        assert set((await connection.execute(select(mail_attempts.c.delivery_id))).scalars()) == deliveries
    return deliveries


async def test_prune_deletes_what_is_old_and_has_ended(rig: Any) -> None:
    """A mail is deleted with its attempts once it is older than the retention, unless it is still to be sent."""
    retention, minute = rig.settings.retention, timedelta(minutes=1)
    for state in ("sent", "dead_lettered"):
        await queued_before(rig, retention + minute, state)
    left = {
        await queued_before(rig, retention + minute, "pending"),
        await queued_before(rig, retention + minute, "retrying"),
        await queued_before(rig, retention - minute, "sent"),
    }
    assert await rig.deliveries.prune() is False
    assert await kept(rig) == left


async def test_prune_goes_on_while_there_is_more(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old mails are deleted a set at a time, the oldest first."""
    monkeypatch.setattr("galaxy_mail.service._PRUNED_AT_ONCE", 2)
    ids = [await queued_before(rig, rig.settings.retention + timedelta(days=days), "sent") for days in (3, 2, 1)]
    assert await rig.deliveries.prune() is True
    assert await kept(rig) == {ids[2]}
    assert await rig.deliveries.prune() is False
    assert await kept(rig) == set()


async def test_prune_knows_no_time_before_1970(rig: Any) -> None:
    """A retention longer than the ids' time keeps everything."""
    rig = type(rig)(rig.database, rig.settings.model_copy(update={"retention": timedelta(days=365 * 200)}))
    left = {await queued_before(rig, timedelta(days=365 * 50), "sent")}
    await rig.deliveries.prune()
    assert await kept(rig) == left


async def test_a_key_that_is_pruned_meanwhile_is_free(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail whose key belongs to one that is deleted between two statements is queued again."""
    first = await rig.enqueue(idempotency_key="k")
    insert = queries.insert_deliveries

    async def then_pruned(connection: Connection, drafts: Iterable[Draft]) -> set[UUID]:
        inserted = await insert(connection, drafts)
        async with rig.database.transaction() as other:
            await other.execute(mail_deliveries.delete().where(mail_deliveries.c.id == first))
        return inserted

    monkeypatch.setattr(queries, "insert_deliveries", then_pruned)
    second = await rig.enqueue(idempotency_key="k")
    assert second != first and await count(rig) == 1
