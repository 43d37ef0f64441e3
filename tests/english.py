"""Words and patterns that must not come back, and the search for them in our Python files and documents.

The reasons are in `docs/ARCHITECTURE.md`: what we write is plain, idiomatic and exact. A new entry has the word to use
instead. Text between backticks, being code, is not prose and is not searched in documents.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

DOCSTRING_START = re.compile(r"(Gives?|Tells?|Takes? (?!over\b)|Hears?)\b")
"""Begins a docstring that should begin with "Return", "Report" or what the object is."""

PROSE = {
    re.compile(r"\banew\b"): "again",
    re.compile(r"\bsurely\b"): "at least once",
    re.compile(r"(?<![Tt]here )\b(is|are|was|were|be) no (?!longer\b|more\b|less\b|better\b|worse\b)\w"): "is not a",
    re.compile(r"\b(what|that|which|who) (is|are|was|were) none\b"): "anything else",
    re.compile(r"\bin hand\b"): "current, in progress",
    re.compile(r"\bgives? \w+ back\b"): "return",
    re.compile(r"\b(is|are|was|were|be) told (of|by)\b"): "reported",
    re.compile(r"\bwhat becomes? of\b"): "the outcome of",
    re.compile(r"\bturn the hands\b"): "move the clock",
}
"""Patterns in docstrings, comments, messages and documents, each with what to write instead."""

IDENTIFIERS = {
    "desk": "admin service",
    "flights": "in-flight requests",
    "landed": "wait_idle",
    "cut_short": "abort",
    "mood": "fault",
    "moods": "faults",
    "parcel": "message, route",
    "stint": "pass",
    "at_rest": "paused",
    "trial": "example, scenario",
}
"""Metaphors, as parts of identifiers and as words, each with the field's noun."""

TABLE_HEADS = {"asked": "goal", "its": "rival"}
"""Heads of columns in documents."""

_METAPHOR = re.compile(rf"(?<![a-z])({'|'.join(sorted(IDENTIFIERS, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)


class Finding(NamedTuple):
    """A word that must not be there."""

    line: int
    found: str
    instead: str


def in_python(source: str) -> Iterator[Finding]:
    """Yield the findings in a Python file: docstrings, comments, strings with a space, and identifiers."""
    tree = ast.parse(source)
    docstrings = {id(value): value for value in _docstrings(tree)}
    for value in docstrings.values():
        text = value.value.lstrip()
        if start := DOCSTRING_START.match(text):
            yield Finding(value.lineno, start[0], 'begin with "Return", "Report" or what it is')
        yield from _in_prose(value.value, value.lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from () if id(node) in docstrings else _in_prose(node.value, node.lineno, wrapped=False)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from _in_prose(token.string, token.start[0])
        elif token.type == tokenize.NAME:
            yield from _metaphors(_words(token.string), token.start[0])


def in_markdown(text: str) -> Iterator[Finding]:
    """Yield the findings in a document, outside code."""
    prose = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), text, flags=re.DOTALL)
    prose = re.sub(r"`[^`]*`", lambda code: "`" + "\n" * code[0].count("\n") + "`", prose)
    yield from _in_prose(prose, 1)
    lines = prose.split("\n")
    for number, (line, following) in enumerate(pairwise(lines), start=1):
        if line.startswith("|") and re.fullmatch(r"[|: -]+", following):
            for cell in (cell.strip() for cell in line.split("|")):
                if cell in TABLE_HEADS:
                    yield Finding(number, cell, TABLE_HEADS[cell])


def python_files(root: Path) -> Iterator[Path]:
    """Yield our own Python files, without generated code and without the list of words itself."""
    for path in _files(root, "*.py"):
        if not path.name.endswith("_pb2.py") and path.name not in ("english.py", "test_english.py"):
            yield path


def documents(root: Path) -> Iterator[Path]:
    """Yield our own documents."""
    yield from _files(root, "*.md")


def _files(root: Path, pattern: str) -> Iterator[Path]:
    for path in sorted(root.rglob(pattern)):
        parts = path.relative_to(root).parts
        if not any(part.startswith(".") or part in ("build", "dist", "node_modules") for part in parts):
            yield path


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield docstrings, those of attributes included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value


def _in_prose(text: str, line: int, *, wrapped: bool = True) -> Iterator[Finding]:
    """Yield the findings in a text that begins in a line; `wrapped` texts have the line breaks of their file."""
    starts, words = [], []
    for word in re.finditer(r"\S+", text):
        starts.append((sum(map(len, words)) + len(words), text.count("\n", 0, word.start())))
        words.append(word[0])
    flat = " ".join(words)
    found = [(match, instead) for pattern, instead in PROSE.items() for match in pattern.finditer(flat)]
    found += [(match, IDENTIFIERS[match[0].lower()]) for match in _METAPHOR.finditer(flat)]
    for match, instead in found:
        at = max((breaks for start, breaks in starts if start <= match.start()), default=0)
        yield Finding(line + at if wrapped else line, match[0], instead)


def _metaphors(words: str, line: int) -> Iterator[Finding]:
    for match in _METAPHOR.finditer(words):
        yield Finding(line, match[0], IDENTIFIERS[match[0].lower()])


def _words(identifier: str) -> str:
    """Return an identifier in snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower()
