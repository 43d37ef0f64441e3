"""The current request context, and its ids."""

import asyncio
from uuid import UUID

import pytest

from galaxy_chassis.request_context import (
    RequestContext,
    current_request,
    new_id,
    new_request_id,
    request_context,
    request_id,
)


def test_ids_sort_by_time() -> None:
    """They are UUIDs of version 7, so that rows that are made together lie together."""
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100
    assert {each.version for each in ids} == {7}
    assert UUID(new_request_id()).version == 7


def test_the_request_id_is_the_works_own() -> None:
    """Inside work it is always the same; outside any it is a fresh one each time."""
    assert request_id() != request_id()
    with request_context("mail") as context:
        assert request_id() == request_id() == context.request_id
        assert context.plugin == "mail"
    assert current_request.get() is None


def test_a_row_taken_up_again_keeps_its_request_id() -> None:
    """Work within work has its own id or the row's, stays in the trace, and gives way to the outer one again."""
    token = current_request.set(RequestContext("outer", "kernel", "t" * 32, "s" * 16))
    try:
        with request_context("mail", "the row's") as inner:
            assert request_id() == "the row's"
            assert (inner.trace_id, inner.span_id) == ("t" * 32, "s" * 16)
        with request_context("mail") as inner:
            assert inner.request_id not in ("outer", "the row's")
        assert request_id() == "outer"
    finally:
        current_request.reset(token)


def test_work_that_fails_ends_too() -> None:
    """An exception passes through, and the work is over."""
    with pytest.raises(ZeroDivisionError), request_context("mail"):
        raise ZeroDivisionError
    assert current_request.get() is None


async def test_tasks_carry_the_work_they_began_in() -> None:
    """A task started inside work keeps its id after the work has ended, and does not change its starter's."""

    async def later() -> str:
        with request_context("auth"):
            await asyncio.sleep(0)
        return request_id()

    with request_context("mail") as context:
        task = asyncio.create_task(later())
    assert await task == context.request_id
