"""The face that plugins see: complete, and with nothing else in it."""

import ast
import importlib
from pathlib import Path

from galaxy_kernel import api


def test_every_name_is_there_once() -> None:
    """A name in `__all__` that is missing would fail only in a plugin."""
    assert len(api.__all__) == len(set(api.__all__))
    for name in api.__all__:
        assert getattr(api, name) is not None


def test_nothing_is_imported_that_is_not_offered() -> None:
    """What plugins may use is written down, so that taking it away is a decision."""
    tree = ast.parse(Path(api.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(api.__all__)


def test_names_are_those_of_their_own_modules() -> None:
    """The face adds nothing of its own: it can be read as a list."""
    for name in api.__all__:
        module = getattr(getattr(api, name), "__module__", None)
        if module and module.startswith("galaxy_"):
            assert getattr(importlib.import_module(module), name) is getattr(api, name)
