"""Publishing."""

from typing import Any
from uuid import uuid4

import pytest

from galaxy_chassis.request_context import request_context
from galaxy_contracts.push import PushEvent


async def test_a_faulty_event_writes_nothing(backend: Any) -> None:
    """One faulty event among many raises before anything is written; the caller's transaction goes on."""
    async with backend.database.transaction() as connection:
        faulty = PushEvent(kind="test.happened", account_id=uuid4(), session_id=uuid4())
        with pytest.raises(ValueError, match="one target"):
            await backend.push.publish(connection, [*backend.events(1), faulty])
        await backend.push.publish(connection, backend.events(2))
    assert await backend.rows("SELECT payload FROM push_events") == [('{"n":2}',)]


async def test_nothing_to_publish_is_nothing(backend: Any) -> None:
    """An empty sequence runs no statement."""
    async with backend.database.transaction() as connection:
        await backend.push.publish(connection, [])
    assert await backend.rows("SELECT count(*) FROM push_events") == [(0,)]


async def test_events_of_one_call_keep_their_order(backend: Any, gateway: Any) -> None:
    """Events published together are delivered in the given order."""
    async with gateway.subscribed(backend.address):
        await backend.publish(*range(200))
        await gateway.heard(200)
    assert gateway.numbers == list(range(200))


async def test_the_request_id_is_that_of_the_work_in_hand(backend: Any) -> None:
    """Events carry the current request id, unless they have another one."""
    with request_context("test", "request-0001"):
        await backend.publish(1)
        await backend.publish(2, request_id="request-0002")
    rows = await backend.rows("SELECT request_id FROM push_events ORDER BY id")
    assert rows == [("request-0001",), ("request-0002",)]
