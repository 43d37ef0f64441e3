"""The queue's statements for one table: what they say, and what they leave out. `test_queue` runs them."""

import re
from typing import Any

import pytest
from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, Uuid

from galaxy_kernel.queue.queue import history_columns, queue_columns, queue_indexes
from galaxy_kernel.queue.sql import QueueSql
from galaxy_kernel.queue.states import QueueStates

STATES = QueueStates(done="sent", skipped="skipped")
metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    *queue_columns(STATES),
    Column("secret", LargeBinary),
    Column("body", LargeBinary),
    Column("note", Text),
    *queue_indexes("jobs", STATES, wipe="secret"),
)
tries = Table("tries", metadata, *history_columns("job_id", code="smtp_code"))
STATEMENTS = ("complete", "renew", "expire", "requeue", "backlog")


def statements(history: Table | None = tries, wipe: tuple[str, ...] = ()) -> dict[str, str]:
    """Return every statement of a queue over `jobs`, with white space made even."""
    sql = sql_of(history, wipe)
    made: dict[str, Any] = {name: getattr(sql, name)() for name in STATEMENTS}
    made["claim"] = sql.claim([jobs.c.note, jobs.c.secret])
    return {name: " ".join(str(statement).split()) for name, statement in made.items()}


def sql_of(history: Table | None = tries, wipe: tuple[str, ...] = ()) -> QueueSql:
    """Return the statements as a queue makes them."""
    return QueueSql(jobs, history, STATES, wipe)


@pytest.mark.parametrize("history", [tries, None], ids=["history", "no history"])
@pytest.mark.parametrize("wipe", [(), ("secret",), ("secret", "body")], ids=str)
def test_every_place_is_filled(history: Table | None, wipe: tuple[str, ...]) -> None:
    """Whatever a queue has or lacks, no brace and no None is left in a statement."""
    for name, statement in statements(history, wipe).items():
        assert not re.search(r"[{}]|\bNone\b", statement), name


def test_open_states_stand_as_constants() -> None:
    """A planner matches the partial index only by these: with parameters every claim would read the whole table."""
    (index,) = [index for index in jobs.indexes if index.name == "jobs_due_idx"]
    condition = str(index.dialect_options["postgresql"]["where"])
    for name in ("claim", "expire", "backlog"):
        assert condition in statements()[name], name


def test_a_queue_without_a_history_writes_none() -> None:
    """With one, attempts and lost workers are written into it, under the names of its columns."""
    with_, without = statements(), statements(history=None)
    for name in ("claim", "complete", "expire"):
        assert "INSERT INTO tries (job_id, attempt_no" in with_[name]
        assert "INSERT" not in without[name]
    assert "smtp_code" in with_["complete"]


def test_what_is_to_be_wiped_is_wiped_at_each_end() -> None:
    """When a row is done, when it expires, and in dead letters that expire; nowhere else."""
    wiped = statements(wipe=("secret", "body"))
    for column in ("secret", "body"):
        assert f"{column} = CASE WHEN r.outcome <> " in wiped["complete"]
        assert wiped["expire"].count(f"{column} = NULL") == 2
        assert column not in wiped["requeue"] + wiped["backlog"]
    assert "secret IS NOT NULL OR body IS NOT NULL" in wiped["expire"]
    assert "body" not in "".join(statements().values())


def test_a_claim_returns_the_columns_asked_for_behind_the_queues_own() -> None:
    """They have the owner's types, so that results are read as the owner's table says."""
    columns = list(sql_of().claim([jobs.c.note, jobs.c.secret]).selected_columns)
    assert [column.name for column in columns[-2:]] == ["note", "secret"]
    assert isinstance(columns[0].type, Uuid)
    assert (type(columns[-2].type), type(columns[-1].type)) == (Text, LargeBinary)


def test_rows_are_claimed_past_each_other() -> None:
    """Two workers neither wait for each other nor share a row."""
    assert statements()["claim"].count("FOR UPDATE SKIP LOCKED") == 1
    assert statements()["expire"].count("FOR UPDATE SKIP LOCKED") == 1


def test_only_the_databases_clock_is_asked() -> None:
    """No statement takes a time as a parameter: clocks of replicas differ."""
    taken = {name: set(re.findall(r"(?<!:):([a-z_]+)", statement)) for name, statement in statements().items()}
    assert taken == {
        "claim": {"limit", "lease"},
        "complete": {"results", "max_attempts"},
        "renew": {"ids", "leases", "seconds"},
        "expire": {"limit"},
        "requeue": {"id"},
        "backlog": {"limit"},
    }
