"""Reactions to deleted accounts."""

from datetime import UTC, datetime
from typing import Any

import pytest

from galaxy_contracts.accounts import AccountDeleted
from galaxy_kernel.api import Problem, new_id
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


async def test_a_late_deletion_spares_a_new_beginning(rig: Any) -> None:
    """A mail queued after the deletion is not changed, even when the fact is delivered later."""
    old, deleted_at, new = await rig.enqueue(), datetime.now(UTC), await rig.enqueue()
    await tell(rig, AccountDeleted(new_id(), "ada@example.test", deleted_at))
    assert [(await rig.row(each)).state for each in (old, new)] == ["dead_lettered", "pending"]
    assert (await rig.row(new)).recipient == "ada@example.test"
