"""The doc strings that follow attributes of a class, which Python itself forgets (PEP 257, "attribute docstrings").

Pydantic can read them as it makes each class, but looks through all modules of the process for it: a sixteenth of the
backend's start. Here a module is parsed once, and only when somebody reads the documentation.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise


def attribute_docstrings(cls: type) -> dict[str, str]:
    """Return the doc strings of a class's attributes, those of its bases included, by name; none without its source."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        found |= _of_module(each.__module__).get(each.__qualname__, {})
    return found


@cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """Return those of all classes of a module, by qualified name."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError, ValueError, SyntaxError):  # built in, made at a prompt, or changed since
        return {}
    return dict(_classes(tree, ""))


def _classes(scope: ast.AST, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name, dict(_documented(node))
            yield from _classes(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _classes(node, f"{prefix}{node.name}.<locals>.")
        else:
            yield from _classes(node, prefix)


def _documented(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for attribute, after in pairwise(node.body):
        if isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name) and (doc := _text(after)):
            yield attribute.target.id, inspect.cleandoc(doc)


def _text(node: ast.stmt) -> str | None:
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
