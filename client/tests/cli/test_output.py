"""What commands print."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_client import ConnectionLostError, FieldError, GalaxyError
from galaxy_client import errors as client_errors
from galaxy_client.cli.failures import FAILED, SIGNED_OUT, UNAVAILABLE, explained
from galaxy_client.cli.output import clean, say_json, say_table


@given(st.text())
def test_no_text_commands_the_terminal(text: str) -> None:
    """Whatever a report has, no control character and no change of direction gets through."""
    kept = clean(text).replace("\n", "").replace("\u200d", "").replace("\u200c", "")
    assert [character for character in kept if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")] == []


def test_ordinary_text_stays() -> None:
    """Letters of all languages, emoji and lines stay as they are."""
    text = "Turn 3\n  Ünï: 星 👩‍🚀\n"
    assert clean(text) == text
    assert clean("a\x1b[2Jb\x9b\u202ec\td") == "a\ufffd[2Jb\ufffd\ufffdc    d"


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has no byte that a terminal acts on."""
    say_json({"name": "\x9b2Jü\x7f"}, lines=True)
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert shown.count("\n") == 1


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are as wide as their widest cell, and a name cannot add a line."""
    say_table(("A", "B"), [("one", "x\ny"), ("o", "")])
    assert capsys.readouterr().out == "A    B\none  x\ufffdy\no\n"


def test_each_failure_has_its_status() -> None:
    """Scripts learn from the exit status what kind of failure it was."""
    cases: list[tuple[GalaxyError, int]] = [
        (client_errors.UnauthorizedError(401, "unauthenticated", "No."), SIGNED_OUT),
        (client_errors.UnauthorizedError(401, "challenge_closed", "No."), FAILED),
        (client_errors.ConflictError(409, "turn_over", "No."), FAILED),
        (client_errors.UnavailableError(503, "starting", "No."), UNAVAILABLE),
        (client_errors.ThrottledError(429, "too_many_requests", "No.", retry_after=60), UNAVAILABLE),
        (ConnectionLostError("lost"), UNAVAILABLE),
    ]
    for error, status in cases:
        shown = explained(error)
        assert shown.status == status, error
        assert shown.next_steps, error


def test_faults_of_fields_are_shown() -> None:
    """Each is on a line of its own, up to a number; that it may have been done is said."""
    faults = [FieldError(f"orders.{number}", "too far") for number in range(50)]
    error = client_errors.InvalidError(422, "orders_refused", "The engine refuses them.", fields=faults)
    error.uncertain = True
    shown = explained(error)
    assert shown.what == "The engine refuses them."
    assert shown.next_steps[0] == "  orders.0: too far"
    assert "  and 30 more" in shown.next_steps
    assert any("may have been done" in step for step in shown.next_steps)
