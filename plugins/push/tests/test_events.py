"""Reactions to ended sessions and deleted accounts."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from galaxy_contracts.accounts import AccountDeleted
from galaxy_contracts.sessions import SessionsRevoked


async def test_a_revocation_reaches_gateways_at_every_backend(make_backend: Any, make_gateway: Any) -> None:
    """Each session that ended is an event for that session, also at the backend that did not revoke it."""
    one = await make_backend()
    other = await make_backend(one)
    account, sessions = uuid4(), (uuid4(), uuid4())
    gateways = [make_gateway("here"), make_gateway("there")]
    async with gateways[0].subscribed(one.address), gateways[1].subscribed(other.address):
        await one.tell(SessionsRevoked(account, sessions))
        for gateway in gateways:
            await gateway.heard(2)
    for gateway in gateways:
        assert [event.kind for event in gateway.events] == ["session.revoked"] * 2
        assert [event.session_id for event in gateway.events] == [str(session) for session in sessions]
        payloads = [json.loads(event.payload) for event in gateway.events]
        assert payloads == [{"session_id": str(session), "account_id": str(account)} for session in sessions]


async def test_a_revocation_does_not_wait_for_a_long_transaction(backend: Any, gateway: Any) -> None:
    """A transaction that published first and is still open delays no revocation."""
    async with gateway.subscribed(backend.address), backend.database.transaction() as long:
        await backend.push.publish(long, backend.events(1))
        await backend.tell(SessionsRevoked(uuid4(), (uuid4(),)))
        await gateway.heard(1)
        assert gateway.events[0].kind == "session.revoked"


async def test_a_revoked_session_hears_nothing_else(backend: Any) -> None:
    """Events for a session are removed with its end; those for others stay."""
    ended, goes_on = uuid4(), uuid4()
    await backend.publish(1, session_id=ended)
    await backend.publish(2, session_id=goes_on)
    await backend.tell(SessionsRevoked(uuid4(), (ended,)))
    await backend.arrived("session.revoked")
    rows = await backend.rows("SELECT session_id, kind FROM push_events ORDER BY seq")
    assert rows == [(goes_on, "test.happened"), (ended, "session.revoked")]


async def test_a_deleted_account_leaves_no_payload(backend: Any) -> None:
    """The events for a deleted account are removed, numbered or not; those for others stay."""
    deleted, other = uuid4(), uuid4()
    await backend.publish(1, account_id=deleted)
    await backend.numbered(1)
    await backend.publish(2, account_id=other)
    await backend.publish(3, account_id=deleted)
    await backend.tell(AccountDeleted(deleted, "ada@example.test", datetime.now(UTC)))
    await backend.gone(deleted)
    assert [row[0] for row in await backend.rows("SELECT account_id FROM push_events")] == [other]


async def test_what_was_removed_leaves_cursors_whole(backend: Any, gateway: Any) -> None:
    """A gateway continues over events that were removed meanwhile, also over the one of its own cursor."""
    deleted = uuid4()
    async with gateway.subscribed(backend.address):
        await backend.publish(1, account_id=deleted)
        await gateway.heard(1)
    await backend.publish(2)
    await backend.publish(3, account_id=deleted)
    await backend.publish(4)
    await backend.numbered(4)
    await backend.tell(AccountDeleted(deleted, "ada@example.test", datetime.now(UTC)))
    await backend.gone(deleted)
    backend.forget_memory()
    async with gateway.subscribed(backend.address):
        await gateway.heard(3)
    assert gateway.numbers == [1, 2, 4]
    assert not gateway.openings[1].resync_required


async def test_a_stream_goes_on_when_the_last_events_were_removed(backend: Any, gateway: Any) -> None:
    """A gateway behind removed events receives the next one, and the backend does not search for them."""
    deleted = uuid4()
    async with gateway.subscribed(backend.address):
        await backend.publish(1)
        await gateway.heard(1)
    await backend.publish(2, 3, account_id=deleted)
    await backend.numbered(3)
    await backend.tell(AccountDeleted(deleted, "ada@example.test", datetime.now(UTC)))
    await backend.gone(deleted)
    await backend.plugin._reader.run()
    backend.forget_memory()
    async with backend.call(cursor=gateway.cursor) as stream:
        opening = (await stream.read()).opening
        pages = backend.count_pages()
        await backend.publish(4)
        frame = await stream.read()
    assert (opening.resync_required, [event.payload for event in frame.events]) == (False, ['{"n":4}'])
    assert pages() <= 2
