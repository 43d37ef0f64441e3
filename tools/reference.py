"""Reference tables of what plugins contribute and are given, from the code's own signatures and doc strings."""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from typing import Any

import galaxy_contracts
import galaxy_contracts.testing as fakes
from galaxy_contracts.capability import Capability
from galaxy_contracts.fact import Fact
from galaxy_devkit.testing import Api, Booted, FakeAuditLog
from galaxy_kernel.api import (
    Cache,
    Call,
    DoctorCheck,
    Finding,
    Health,
    Manifest,
    Migrations,
    Offer,
    Probe,
    Response,
    Route,
    RpcService,
    Worker,
)
from galaxy_kernel.core.context import Context
from galaxy_kernel.facts import Facts
from galaxy_kernel.wakeups import Wakeups

FIELDS = (Manifest, Offer, Migrations, Probe, Health, Route, Response, RpcService, Worker, DoctorCheck, Finding)
"""Made by plugins: shown with their fields."""
CALLS = {
    Context: ("require", "find", "run_offline", "derive_key"),
    Facts: ("record", "undelivered"),
    Wakeups: ("wake", "after_commit"),
    Cache: ("__init__", "get", "find", "values", "put", "put_many", "drop", "drop_many"),
}
"""Given to plugins, or made by them: shown with these methods."""
TESTING = {Booted: ("database", "url", "deliver", "run_pass", "command", "drift"), Api: ("__call__",)}
"""Given to tests."""


def signatures() -> str:
    """Return the tables of what plugins contribute and are given."""
    parts = [_fields(kind) for kind in FIELDS]
    parts.insert(FIELDS.index(Response), _attributes(Call))
    return "\n".join([*parts, *(_calls(kind, names) for kind, names in CALLS.items())])


def testing() -> str:
    """Return the tables of what tests are given, and of the fakes."""
    return "\n".join([*(_calls(kind, names) for kind, names in TESTING.items()), _fakes()])


def facts() -> str:
    """Return the table of the facts that plugins record."""
    rows = ["| fact | fields | what happened |", "|---|---|---|"]
    for module in _contracts():
        own = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
        for kind in own:
            if issubclass(kind, Fact) and kind is not Fact:
                fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
                rows.append(f"| `{module.__name__}.{kind.__name__}` | {fields} | {_first(kind)} |")
    return "\n".join(rows) + "\n"


def _fields(kind: type[Any]) -> str:
    tree = _class(kind)
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for node, following in _with_following(tree.body):
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar"):
            default = "" if node.value is None else f"`{_default(node.value)}`"
            rows.append(f"| `{ast.unparse(node.target)}` | {_code(node.annotation)} | {default} | {_doc(following)} |")
    return _titled(kind, rows)


def _attributes(kind: type[Any]) -> str:
    """Return the public attributes that the constructor sets, with their types from its parameters, and properties."""
    functions = [node for node in _class(kind).body if isinstance(node, ast.FunctionDef)]
    [constructor] = [node for node in functions if node.name == "__init__"]
    types = {each.arg: each.annotation for each in (*constructor.args.args, *constructor.args.kwonlyargs)}
    rows = ["| attribute | type | meaning |", "|---|---|---|"]
    for node, following in _with_following(constructor.body):
        target, annotation = _assigned(node)
        if isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
            rows.append(f"| `{target.attr}` | {_code(annotation or types[target.attr])} | {_doc(following)} |")
    properties = [node for node in functions if _is_property(node)]
    rows += [
        f"| `{node.name}` | {_code(node.returns)} | {_flat(ast.get_docstring(node) or '')} |" for node in properties
    ]
    return _titled(kind, rows)


def _assigned(node: ast.stmt) -> tuple[ast.expr | None, ast.expr | None]:
    """Return what a statement assigns to, and its annotation."""
    if isinstance(node, ast.AnnAssign):
        return node.target, node.annotation
    return (node.targets[0] if isinstance(node, ast.Assign) else None), None


def _calls(kind: type[Any], names: tuple[str, ...]) -> str:
    rows = ["| call | what it does |", "|---|---|"]
    by_name = {
        node.name: node for node in _class(kind).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    rows += [f"| {_call(kind, by_name[name])} | {_flat(ast.get_docstring(by_name[name]) or '')} |" for name in names]
    return _titled(kind, rows)


def _call(kind: type[Any], node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if _is_property(node):
        return f"`{node.name}: {ast.unparse(node.returns or ast.Constant(None))}`"
    arguments = ast.unparse(node.args).removeprefix("self").removeprefix(", ")
    shown = {"__init__": kind.__name__, "__call__": "api"}.get(node.name, node.name)
    wait = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    returned = "" if node.returns is None or node.name == "__init__" else f" -> {ast.unparse(node.returns)}"
    return f"`{wait}{shown}({arguments}){returned}`".replace("|", "\\|")


def _fakes() -> str:
    """Return the table of fakes: each says in its first words, between backticks, what it stands for."""
    by_contract = {_contract(fake): (name, fake) for name, fake in _fake_classes()}
    rows = ["| capability | fake | how it behaves |", "|---|---|---|"]
    for module, name, contract in _capabilities():
        fake = by_contract.get(contract)
        shown, doc = ("", "There is none.") if fake is None else (f"`{fake[0]}`", _first(fake[1]))
        rows.append(f"| `{module}.{name}` | {shown} | {doc} |")
    return "\n".join(["#### Fakes", "", *rows]) + "\n"


def _fake_classes() -> Iterator[tuple[str, type[Any]]]:
    yield "galaxy_devkit.testing.FakeAuditLog", FakeAuditLog
    for name, found in vars(fakes).items():
        if name.startswith("Fake"):
            yield f"galaxy_contracts.testing.{name}", found


def _contract(fake: type[Any]) -> str:
    return (fake.__doc__ or "").split("`")[1]


def _capabilities() -> Iterator[tuple[str, str, str]]:
    """Yield module, name and contract of each capability."""
    for module in _contracts():
        for name, found in vars(module).items():
            if isinstance(found, Capability) and name in getattr(module, "__annotations__", {}):
                yield module.__name__, name, module.__annotations__[name].__args__[0].__name__


def _contracts() -> Iterator[Any]:
    for each in sorted(pkgutil.iter_modules(galaxy_contracts.__path__), key=lambda each: each.name):
        if not each.ispkg:
            yield importlib.import_module(f"galaxy_contracts.{each.name}")


def _class(kind: type[Any]) -> ast.ClassDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return tree


def _with_following(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    yield from zip(body, [*body[1:], None], strict=True)


def _doc(following: ast.stmt | None) -> str:
    """Return the doc string that follows an attribute."""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return _flat(inspect.cleandoc(str(following.value.value)))
    return ""


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(each) == "property" for each in node.decorator_list)


def _default(value: ast.expr) -> str:
    text = ast.unparse(value)
    return {"field(default_factory=dict)": "{}"}.get(text, text)


def _code(annotation: ast.expr | None) -> str:
    return "" if annotation is None else f"`{ast.unparse(annotation)}`".replace("|", "\\|")


def _first(kind: type[Any]) -> str:
    return _flat((kind.__doc__ or "").split("\n\n")[0])


def _titled(kind: type[Any], rows: list[str]) -> str:
    return "\n".join([f"#### `{kind.__name__}`", "", _flat(inspect.cleandoc(kind.__doc__ or "")), "", *rows]) + "\n"


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
