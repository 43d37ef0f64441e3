"""Reactions to deleted accounts."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from galaxy_contracts.accounts import AccountDeleted
from galaxy_contracts.mail import Message
from galaxy_kernel.api import Paging, Problem, new_id
from galaxy_mail import queries
from galaxy_mail.events import subscriptions


async def tell(rig: Any, fact: AccountDeleted) -> None:
    async with rig.database.transaction() as connection:
        await subscriptions(rig.deliveries)[AccountDeleted](connection, fact)


async def test_deleted_account_leaves_nothing(rig: Any) -> None:
    """A deleted account's address and mails are removed from every delivery; pending ones are dead-lettered."""
    pending, sent = await rig.enqueue("Ada@example.test"), await rig.enqueue("ada@EXAMPLE.test")
    code, other = await rig.enqueue_code(recipient="ada@example.test"), await rig.enqueue("eve@example.test")
    async with rig.database.transaction() as connection:
        await connection.exec_driver_sql(f"UPDATE mail_deliveries SET state = 'sent' WHERE id = '{sent}'")
    await tell(rig, AccountDeleted(new_id(), " ADA@example.TEST", datetime.now(UTC)))
    for delivery in (pending, sent, code):
        row = await rig.row(delivery)
        assert (row.recipient, row.mime, row.sealed, row.next_attempt_at) == (None, None, None, None)
    assert [(await rig.row(each)).state for each in (pending, sent, code)] == ["dead_lettered", "sent", "dead_lettered"]
    assert (await rig.row(pending)).last_error == "account_deleted"
    assert (await rig.row(other)).recipient == "eve@example.test"
    with pytest.raises(Problem, match="409 mail_has_no_content"):
        await rig.deliveries.resend(pending)


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "of a previous release"])
async def test_every_spelling_is_found(rig: Any, folded: bool) -> None:
    """Spellings of one address are one address, whatever the database's `lower` says of them."""
    spellings = ("IRIS.İx@example.org", "iris.i̇x@example.org", "Ädä@BÜCHER.example", "ädÄ@xn--bcher-kva.example")
    ids = [await rig.enqueue(each) for each in spellings]
    if not folded:
        async with rig.database.transaction() as connection:
            await connection.exec_driver_sql("UPDATE mail_deliveries SET recipient_folded = NULL")
    for each, other in ((0, 1), (3, 2)):
        rows, total = await rig.deliveries.list_deliveries(Paging(), recipient=spellings[each])
        assert total == 2 and {row.id for row in rows} == {ids[each], ids[other]}
        await tell(rig, AccountDeleted(new_id(), spellings[each], datetime.now(UTC)))
        for delivery in (ids[each], ids[other]):
            row = await rig.row(delivery)
            assert (row.recipient, row.recipient_folded, row.mime) == (None, None, None)


async def test_recipients_of_a_previous_release_are_folded(rig: Any) -> None:
    """A worker folds them in sets, and leaves the others as they are."""
    first, second = await rig.enqueue("ADA@example.org"), await rig.enqueue("Bob@example.org")
    async with rig.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE mail_deliveries SET recipient_folded = NULL")
        assert await queries.fold_recipients(connection, 1) == 1
    assert [(await rig.row(each)).recipient_folded for each in (first, second)] == ["ada@example.org", None]
    assert await rig.deliveries.fold() is False
    assert (await rig.row(second)).recipient_folded == "bob@example.org"


async def test_mails_of_an_account_go_by_its_id(rig: Any) -> None:
    """What was queued for the account is removed, whenever and to whichever address; what is for another stays."""
    account, other = new_id(), new_id()
    mine, later = await rig.enqueue("old@example.test", account_id=account), await rig.enqueue(account_id=account)
    new = await rig.enqueue(account_id=other)
    await tell(rig, AccountDeleted(account, "ada@example.test", datetime.now(UTC) - timedelta(hours=1)))
    assert [(await rig.row(each)).recipient for each in (mine, later, new)] == [None, None, "ada@example.test"]


async def test_a_mail_not_yet_committed_is_removed_too(rig: Any) -> None:
    """A deletion waits for transactions that have queued mails, and finds theirs."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def queue() -> UUID:
        async with rig.database.transaction() as connection:
            parameters = {"name": "Ada"}
            mail = await rig.outbox.enqueue(connection, Message("test.welcome", "ada@example.test", "en", parameters))
            begun.set()
            await go_on.wait()
            return mail

    queueing = asyncio.create_task(queue())
    await begun.wait()
    telling = asyncio.create_task(tell(rig, AccountDeleted(new_id(), "ada@example.test", datetime.now(UTC))))
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with asyncio.timeout(10):
        while True:
            async with rig.database.reading() as connection:
                if (await connection.execute(waiting)).scalar_one():
                    break
    go_on.set()
    await telling
    assert (await rig.row(await queueing)).recipient is None


async def test_a_late_deletion_spares_a_new_beginning(rig: Any) -> None:
    """A mail queued after the deletion is not changed, even when the fact is delivered later."""
    old, deleted_at, new = await rig.enqueue(), datetime.now(UTC), await rig.enqueue()
    await tell(rig, AccountDeleted(new_id(), "ada@example.test", deleted_at))
    assert [(await rig.row(each)).state for each in (old, new)] == ["dead_lettered", "pending"]
    assert (await rig.row(new)).recipient == "ada@example.test"
