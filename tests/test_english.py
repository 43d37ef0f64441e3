"""Words that must not come back (`english.py` has the list), and a check that the search finds them."""

from pathlib import Path

import pytest
from english import documents, in_markdown, in_python, python_files

ROOT = Path(__file__).resolve().parents[1]

BAD_PYTHON = '''"""Gives a thing."""

class Flights:
    """Takes requests."""

    size = 1
    """Tell how many."""

    def landed(self):
        """Return what is no
        address."""
        raise ValueError("it is no address, try it anew")  # the work in hand

    def there_is_no_fault_here(self):
        """There is no limit, it is no longer full, and who has none waits."""
'''

BAD_MARKDOWN = """# Title

Told once and
surely; `this is no fault`.

| measure | asked |
|---|---|
| x | 1 |

```
anew
```
"""


def test_python_files() -> None:
    """No docstring, comment, message or identifier has a word of the list."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word!r}: write {instead}"
        for path in python_files(ROOT)
        for line, word, instead in in_python(path.read_text("utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


def test_documents() -> None:
    """No document has a word of the list."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word!r}: write {instead}"
        for path in documents(ROOT)
        for line, word, instead in in_markdown(path.read_text("utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


def test_every_file_is_searched() -> None:
    """The search covers every part of the repository."""
    searched = {str(path.relative_to(ROOT)) for path in (*python_files(ROOT), *documents(ROOT))}
    assert {
        "README.md",
        "docs/ARCHITECTURE.md",
        "plugins/mail/README.md",
        "bench/rounds.py",
        "chassis/galaxy_chassis/errors.py",
        "kernel/tests/test_facts.py",
        "tests/conftest.py",
    } <= searched


def test_a_bad_python_file() -> None:
    """Each fault of a sample is found, with its line; correct uses of the same words are not."""
    found = sorted((line, word.lower()) for line, word, _ in in_python(BAD_PYTHON))
    assert found == [
        (1, "gives"),
        (3, "flights"),
        (4, "takes "),
        (7, "tell"),
        (9, "landed"),
        (10, "is no a"),
        (12, "anew"),
        (12, "in hand"),
        (12, "is no a"),
    ]


def test_a_bad_document() -> None:
    """Words across lines and heads of tables are found; code is not searched."""
    assert sorted((line, word) for line, word, _ in in_markdown(BAD_MARKDOWN)) == [(4, "surely"), (6, "asked")]


@pytest.mark.parametrize("text", ["There is no such path.", "It is no longer open.", "if there is none"])
def test_good_sentences(text: str) -> None:
    """Idiomatic uses of "no" and "none" are not faults."""
    assert not list(in_markdown(text))
