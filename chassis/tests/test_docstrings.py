"""The doc strings of attributes are found for a class and its bases, and none where there is no source."""

import importlib
from pathlib import Path

import pytest
from pydantic import BaseModel

from galaxy_chassis.docstrings import attribute_docstrings


class Base:
    """A base."""

    kept: int
    """Of the base."""
    replaced: int
    """Of the base too."""
    value = 1
    """Not annotated, so not a field."""


class Derived(Base):
    """A class with a class in it."""

    replaced: int
    """Its own,
    on two lines."""
    silent: int

    class Inner:
        """A class in a class."""

        within: int
        """Of the inner one."""

    after: int
    "Also a doc string."


def test_a_class_has_its_bases_and_its_own() -> None:
    """Its own replace those of a base; indentation is not part of them."""
    assert attribute_docstrings(Derived) == {
        "kept": "Of the base.",
        "replaced": "Its own,\non two lines.",
        "after": "Also a doc string.",
    }
    assert attribute_docstrings(Derived.Inner) == {"within": "Of the inner one."}


def test_a_class_made_in_a_function_is_found() -> None:
    """By its qualified name."""

    class Local(BaseModel):
        field: int
        """Of a local class."""

    assert attribute_docstrings(Local)["field"] == "Of a local class."


def test_a_source_that_was_changed_and_cannot_be_parsed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade in place may have replaced it by half."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "half_written.py").write_text("class Made:\n    field: int\n    'Seen.'\n")
    made: type = importlib.import_module("half_written").Made
    (tmp_path / "half_written.py").write_text("class Made:\n    field: int\n    'Se")
    assert attribute_docstrings(made) == {}


def test_a_class_without_source_has_none() -> None:
    """One that is built in, or was made of text."""
    scope: dict[str, type] = {}
    exec("class Made:\n    field: int\n    'Unseen.'", {"__name__": "nowhere"}, scope)
    assert attribute_docstrings(scope["Made"]) == {}
    assert attribute_docstrings(int) == {}
