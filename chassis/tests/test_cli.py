"""Tables for people, JSON for scripts, and why nothing came of a command."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from galaxy_chassis.cli import complain, print_json, print_rows
from galaxy_chassis.errors import BootError, ConfigurationError, Fault

ROWS: list[dict[str, Any]] = [
    {"name": "mail", "requires": ["a", "b"], "version": None, "hidden": 1},
    {"name": "[bold]push[/bold]", "requires": [], "version": "1.0"},
]


def test_a_table_shows_the_columns_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, a line a row; what is missing is a dash, and nothing is taken for mark-up."""
    print_rows(ROWS, ("name", "version", "requires"), as_json=False)
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "version", "requires"]
    assert first.split() == ["mail", "—", "a,", "b"]
    assert second.split() == ["[bold]push[/bold]", "1.0", "—"]


def test_long_cells_are_folded_and_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """What is piped into a file has all of it."""
    print_rows([{"name": "x" * 500}], ("name",), as_json=False)
    assert capsys.readouterr().out.count("x") == 500


def test_json_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get what is not shown to people, too."""
    print_rows(ROWS, ("name",), as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_json_of_our_own_types(capsys: pytest.CaptureFixture[str]) -> None:
    """Times and ids are written as text."""
    print_json({"at": datetime(2030, 1, 1, tzinfo=UTC), "id": UUID(int=1)})
    assert json.loads(capsys.readouterr().out) == {"at": "2030-01-01 00:00:00+00:00", "id": str(UUID(int=1))}


def test_complaints_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, or a line a fault; stdout stays what a script reads."""
    complain(BootError("Postgres cannot be reached"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "backend: Postgres cannot be reached\n")
    complain(ConfigurationError([Fault("BACKEND_A", "required"), Fault("BACKEND_B", "expected a number")]))
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.strip() for line in err.splitlines()[1:]] == ["BACKEND_A: required", "BACKEND_B: expected a number"]
