"""Replays: what a gateway gets for one client that resumes."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc.aio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_contracts.accounts import AccountDeleted
from galaxy_contracts.proto.push_pb2 import ReplayRequest, ReplayResponse
from galaxy_contracts.sessions import SessionsRevoked
from galaxy_devkit.testing import GATEWAY_TOKEN, Measured
from galaxy_push import queries, replays
from galaxy_push.domain import MAX_REPLAYED, parse_range

METHOD = "/galaxy.push.v1.Push/Replay"
AUTHORISED = (("x-gateway-token", GATEWAY_TOKEN),)
OTHER = "ffffffffffff"
ACCOUNT, SESSION = UUID(int=1 << 100 | 1), UUID(int=1 << 100 | 2)  # the same in every process that collects


def call(channel: Any, metadata: Any = AUTHORISED, **fields: Any) -> Any:
    """Call the method for the test's session."""
    request = ReplayRequest(**{"account_id": str(ACCOUNT), "session_id": str(SESSION), **fields})
    method = channel.unary_unary(
        METHOD,
        request_serializer=ReplayRequest.SerializeToString,
        response_deserializer=ReplayResponse.FromString,
    )
    return method(request, metadata=metadata, timeout=30)


async def replay(backend: Any, **fields: Any) -> ReplayResponse:
    """Call it on a connection of its own."""
    async with grpc.aio.insecure_channel(backend.address) as channel:
        answer: ReplayResponse = await call(channel, **fields)
        return answer


async def refusal(backend: Any, **fields: Any) -> tuple[grpc.StatusCode, str]:
    """Call it, and return why it was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replay(backend, **fields)
    return raised.value.code(), raised.value.details() or ""


def numbers(answer: ReplayResponse) -> list[int]:
    """Return the `n` of each event's payload."""
    return [json.loads(event.payload)["n"] for event in answer.events]


def moved(cursor: str, by: int) -> str:
    """Return the cursor so many events later."""
    generation, _, number = cursor.rpartition("-")
    return f"{generation}-{int(number) + by}"


async def publish_all(backend: Any, *targets: dict[str, UUID]) -> str:
    """Publish an event for each target in this order, numbered from 0; return the cursor before the first."""
    start: str = await backend.end()
    async with backend.database.transaction() as connection:
        for n, target in enumerate(targets):
            await backend.push.publish(connection, backend.events(n, **target))
    await backend.numbered(len(targets))
    return start


MINE, OWN = {"account_id": ACCOUNT}, {"session_id": SESSION}


def others() -> list[dict[str, UUID]]:
    """Return an account and a session that the test's session may not hear of."""
    return [{"account_id": uuid4()}, {"session_id": uuid4()}]


async def test_a_session_gets_its_accounts_events_and_its_own(backend: Any) -> None:
    """Events for the account and for the session come in order; those for others, also for other sessions, do not."""
    somebody, elsewhere = others()
    start = await publish_all(backend, MINE, somebody, OWN, elsewhere, OWN, MINE)
    answer = await replay(backend, after=start)
    assert numbers(answer) == [0, 2, 4, 5]
    assert [event.cursor for event in answer.events] == [moved(start, by) for by in (1, 3, 5, 6)]
    assert [event.WhichOneof("target") for event in answer.events] == [
        "account_id", "session_id", "session_id", "account_id",
    ]  # fmt: skip
    assert (answer.more, answer.resync_required) == (False, False)


async def test_an_event_is_the_same_as_in_the_stream(backend: Any, gateway: Any) -> None:
    """An event of a replay equals the one that the subscription had, cursor and request id included."""
    start = await backend.end()
    async with gateway.subscribed(backend.address):
        await backend.publish(1, account_id=ACCOUNT, request_id="request-0001")
        await gateway.heard(1)
    answer = await replay(backend, after=start, up_to=gateway.cursor)
    assert list(answer.events) == gateway.events


async def test_the_range_excludes_its_beginning_and_includes_its_end(backend: Any) -> None:
    """The event of `after` is not in the answer, that of `up_to` is; an empty or reversed range is empty."""
    start = await publish_all(backend, *[MINE] * 5)
    cursors = [moved(start, by) for by in range(6)]
    assert numbers(await replay(backend, after=cursors[1], up_to=cursors[3])) == [1, 2]
    for after, up_to in ((cursors[3], cursors[3]), (cursors[4], cursors[2]), (cursors[5], "")):
        answer = await replay(backend, after=after, up_to=up_to)
        assert (numbers(answer), answer.more, answer.resync_required) == ([], False, False)


async def test_pages_follow_each_other(backend: Any) -> None:
    """`more` says whether another page follows the last event, also where the last page is exactly full."""
    start = await publish_all(backend, *[MINE, OWN] * 3)
    seen, after, pages, more = [], start, 0, True
    while more:
        answer = await replay(backend, after=after, limit=2)
        assert len(answer.events) == 2
        seen, after, more, pages = seen + numbers(answer), answer.events[-1].cursor, answer.more, pages + 1
    assert (seen, pages) == (list(range(6)), 3)


@pytest.mark.parametrize("limit", [0, MAX_REPLAYED + 1, 2**32 - 1])
async def test_an_answer_is_bounded_in_events(backend: Any, limit: int) -> None:
    """Without a limit, or with a greater one, an answer has 500 events at most."""
    start = await publish_all(backend, *[MINE] * (MAX_REPLAYED + 1))
    answer = await replay(backend, after=start, limit=limit)
    assert (len(answer.events), answer.more) == (MAX_REPLAYED, True)


async def test_an_answer_is_bounded_in_bytes(backend: Any) -> None:
    """Large events end an answer early, far below a client's limit, and `more` says so."""
    start = await backend.end()
    await backend.publish(*range(30), account_id=ACCOUNT, fill=60_000)
    await backend.numbered(30)
    seen, after, more = [], start, True
    while more:
        answer = await replay(backend, after=after)
        assert 1 <= len(answer.events) < 12
        assert answer.ByteSize() < 1024 * 1024
        seen, after, more = seen + numbers(answer), answer.events[-1].cursor, answer.more
    assert seen == list(range(30))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_range_has_its_events(backend: Any, data: st.DataObject) -> None:
    """For any targets, range and limit, the pages are the events of the range for that session, once and in order."""
    if not await backend.rows("SELECT 1 FROM push_events LIMIT 1"):
        [somebody, elsewhere] = others()
        await publish_all(backend, *[MINE, somebody, OWN, OWN, elsewhere, MINE, MINE, somebody] * 3)
    [(first, last)] = await backend.rows("SELECT min(seq) - 1, max(seq) FROM push_events")
    generation = (await backend.end()).partition("-")[0]
    after = data.draw(st.integers(first, last), "after")
    up_to = data.draw(st.integers(first, last), "up_to")
    limit = data.draw(st.integers(1, 30), "limit")
    mine = await backend.rows(
        "SELECT seq FROM push_events WHERE :account = account_id OR :session = session_id ORDER BY seq",
        account=ACCOUNT,
        session=SESSION,
    )
    wanted = parse_range(str(ACCOUNT), str(SESSION), f"{generation}-{after}", f"{generation}-{up_to}", limit)
    found: list[int] = []
    more = True
    while more:
        async with backend.database.reading() as connection:
            page = await queries.replay(connection, wanted, 1_000_000)
        assert len(page.events) <= limit
        found += [event.seq for event in page.events]
        more = page.more
        wanted = parse_range(
            str(ACCOUNT), str(SESSION), f"{generation}-{found[-1] if found else after}", f"{generation}-{up_to}", limit
        )
    assert found == [seq for (seq,) in mine if after < seq <= up_to]


async def test_what_was_trimmed_asks_for_a_resync(make_backend: Any) -> None:
    """Behind what was trimmed there are no events and a resync; from the last trimmed one on it is a replay."""
    backend = await make_backend(retention="1m")
    measured = Measured(backend.booted)
    start = await publish_all(backend, MINE, MINE)
    await backend.age("2 minutes")
    await backend.trim()
    await backend.publish(3, account_id=ACCOUNT)
    await backend.numbered(1)
    behind = await replay(backend, after=moved(start, 1))
    assert (behind.resync_required, len(behind.events), behind.more) == (True, 0, False)
    answer = await replay(backend, after=moved(start, 2))
    assert (answer.resync_required, numbers(answer)) == (False, [3])
    await backend.until(lambda: measured.values("push.replays") == {("resync",): 1, ("answered",): 1})


async def test_cursors_that_are_not_of_this_stream_ask_for_a_resync(backend: Any) -> None:
    """Another generation, a plain number, or a number that was never assigned: in either field, no events."""
    start = await publish_all(backend, MINE)
    end = moved(start, 1)
    number = start.rpartition("-")[2]
    strange = (f"{OTHER}-{number}", number, moved(end, 1))
    for after, up_to in [(each, end) for each in strange] + [(start, each) for each in strange]:
        answer = await replay(backend, after=after, up_to=up_to)
        assert (answer.resync_required, len(answer.events), answer.more) == (True, 0, False), (after, up_to)


async def test_a_clients_cursor_changes_nothing(backend: Any) -> None:
    """A cursor ahead of the stream, which a client may invent, begins no generation, unlike a gateway's own."""
    before = await backend.end()
    assert (await replay(backend, after=moved(before, 1000))).resync_required
    assert await backend.end() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("account_id", value) for value in ("", "x", f"{{{ACCOUNT}}}", ACCOUNT.hex, f"urn:uuid:{ACCOUNT}")),
        *(("session_id", value) for value in ("", "x", f"{SESSION} ")),
        *(("after", value) for value in ("", "x", f"{OTHER}-007", f"{OTHER}-9223372036854775808")),
        *(("up_to", value) for value in ("x", f"{OTHER}-", "0x1")),
    ],
)
async def test_a_malformed_field_is_named(backend: Any, field: str, value: str) -> None:
    """A malformed field is INVALID_ARGUMENT, and the sentence begins with its name."""
    code, sentence = await refusal(backend, **{"after": f"{OTHER}-1", field: value})
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence.startswith(f"{field}: ")


@pytest.mark.parametrize("metadata", [(), (("x-gateway-token", GATEWAY_TOKEN + "x"),)])
async def test_the_token_is_required(backend: Any, metadata: Any) -> None:
    """Without the gateway's token a replay is refused."""
    code, _ = await refusal(backend, metadata=metadata, after=f"{OTHER}-1")
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_revocation_is_in_the_replay_of_its_session(backend: Any) -> None:
    """A revoked session's replay has `session.revoked` in its place, and none of the session's other events."""
    start = await publish_all(backend, MINE, OWN, {"session_id": uuid4()})
    await backend.tell(SessionsRevoked(ACCOUNT, (SESSION,)))
    await backend.arrived("session.revoked")
    await backend.publish(9, account_id=ACCOUNT)
    await backend.numbered(4)
    answer = await replay(backend, after=start)
    assert [event.kind for event in answer.events] == ["test.happened", "session.revoked", "test.happened"]
    assert answer.events[1].session_id == str(SESSION)
    other = await replay(backend, after=start, session_id=str(uuid4()))
    assert "session.revoked" not in [event.kind for event in other.events]


async def test_a_deleted_accounts_events_are_gone(backend: Any) -> None:
    """The events for a deleted account are in no replay; the range stays whole."""
    start = await publish_all(backend, MINE, MINE)
    await backend.tell(AccountDeleted(ACCOUNT, "ada@example.test", datetime.now(UTC)))
    await backend.gone(ACCOUNT)
    answer = await replay(backend, after=start)
    assert (len(answer.events), answer.resync_required) == (0, False)


async def test_replay_and_stream_meet_without_gap_or_double(backend: Any, gateway: Any) -> None:
    """As the protocol says: keep live events from `up_to` on, replay up to it, then send the kept ones."""
    start = await publish_all(backend, *[MINE] * 20)
    async with gateway.subscribed(backend.address):
        up_to = gateway.openings[0].cursor
        live = asyncio.create_task(backend.publish(*range(20, 40), account_id=ACCOUNT))
        sent, after, more = [], start, True
        while more:
            answer = await replay(backend, after=after, up_to=up_to, limit=7)
            sent, after, more = sent + numbers(answer), answer.events[-1].cursor, answer.more
        await live
        await gateway.heard(20)
    assert sent + gateway.numbers == list(range(40))


async def test_too_many_replays_are_refused(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the number that may wait a replay is RESOURCE_EXHAUSTED at once; one given up leaves its place."""
    monkeypatch.setattr(replays, "WAITING", 3)
    served, measured = backend.plugin._replays, Measured(backend.booted)
    end = await backend.end()
    for _ in range(replays.AT_ONCE):
        await served._table.acquire()
    async with grpc.aio.insecure_channel(backend.address) as channel:
        waiting = [asyncio.ensure_future(call(channel, after=end)) for _ in range(3)]
        await backend.until(lambda: served._waiting == 3)
        code, sentence = await refusal(backend, after=end)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "call again" in sentence
        waiting.pop().cancel()
        await backend.until(lambda: served._waiting == 2)
        for _ in range(replays.AT_ONCE):
            served._table.release()
        assert [answer.resync_required for answer in await asyncio.gather(*waiting)] == [False, False]
    assert served._waiting == 0
    await backend.until(lambda: measured.values("push.replays") == {("refused",): 1, ("answered",): 2})


async def test_a_thousand_clients_resume_at_once(backend: Any, gateway: Any) -> None:
    """1,000 replays through one gateway are all answered; the stream and new subscribers go on meanwhile."""
    start = await publish_all(backend, *[MINE] * 10)
    async with gateway.subscribed(backend.address), grpc.aio.insecure_channel(backend.address) as channel:
        await replay(backend, after=start)
        resuming = [asyncio.ensure_future(call(channel, after=start)) for _ in range(1000)]
        await backend.publish(*range(10, 15))
        await gateway.heard(5)
        async with backend.call() as another:
            assert (await another.read()).HasField("opening")
        answers = await asyncio.gather(*resuming)
    assert all(numbers(answer) == list(range(10)) for answer in answers)


async def test_a_database_that_is_away_is_unavailable(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its database a backend answers UNAVAILABLE, so that the gateway calls another one."""

    async def lost(*_: Any) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(queries, "replay", lost)
    measured = Measured(backend.booted)
    code, sentence = await refusal(backend, after=await backend.end())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "database" in sentence
    await backend.until(lambda: measured.values("push.replays") == {("unavailable",): 1})


async def test_a_replay_is_read_from_its_indexes(backend: Any) -> None:
    """Among many events, a page is two ordered index scans that end at the limit: nothing is sorted or searched."""
    await backend.run("""
        INSERT INTO push_events (seq, numbered_at, account_id, session_id, kind, payload, request_id)
        SELECT n, now(), CASE WHEN n % 2 = 0 THEN CASE WHEN n % 400 = 0 THEN CAST(:account AS uuid)
            ELSE gen_random_uuid() END END,
            CASE WHEN n % 2 = 1 THEN gen_random_uuid() END, 'test.happened', '{}', 'request-0001'
        FROM generate_series(1, 20000) AS n
    """, account=str(ACCOUNT))  # fmt: skip
    async with backend.database.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql("ANALYZE push_events")
        values = {
            "account_id": ACCOUNT,
            "session_id": SESSION,
            "after": 100,
            "up_to": 19000,
            "limit": 50,
            "bytes": 1000,
        }
        explain = queries.text("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + str(queries._REPLAY.element))
        explain = explain.bindparams(
            *(queries.bindparam(name, type_=queries.Uuid) for name in ("account_id", "session_id"))
        )
        plan = "\n".join(row[0] for row in await connection.execute(explain, values))
    assert "push_events_account_id_seq_idx" in plan, plan
    assert "push_events_session_id_seq_idx" in plan, plan
    assert "Seq Scan on push_events" not in plan, plan
    assert "Merge Append" in plan, plan


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg"])
async def test_every_driver(make_backend: Any, empty_database: str, driver: str) -> None:
    """The statement means the same to the other drivers as to ours."""
    backend = await make_backend(dsn=driver + empty_database[empty_database.index("://") :])
    start = await publish_all(backend, MINE, *others(), OWN)
    answer = await replay(backend, after=start, limit=1)
    assert (numbers(answer), answer.more) == ([0], True)
    assert numbers(await replay(backend, after=answer.events[0].cursor)) == [3]
