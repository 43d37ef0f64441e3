"""What a distribution imports comes with it: alone in a container it has nothing else."""

import ast
import functools
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    path.parent: tomllib.loads((path.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    for path in ROOT.glob("**/galaxy_*/__init__.py")
    if (path.parents[1] / "pyproject.toml").exists()
}
"""Our packages, and what their distributions declare."""
PROJECTS = {project["name"]: project for project in PACKAGES.values()}
MAY_BE_ABSENT = {("galaxy_gateway", "galaxy_web"), ("galaxy_devkit", "galaxy_gateway")}
"""Imported only where it was found to be installed."""


@functools.cache
def _providers() -> Mapping[str, list[str]]:
    """Return the distributions of each package that is installed: all of their files are read."""
    return packages_distributions()


def _required(requirement: Requirement) -> Iterator[str]:
    """Yield everything that is installed with a distribution, and itself."""
    pending, seen = [requirement], set()
    while pending:
        each = pending.pop()
        for extra in ("", *each.extras):
            key = canonicalize_name(each.name), extra
            if key not in seen:
                seen.add(key)
                yield key[0]
                pending.extend(found for found in _of(each.name) if _wanted(found, extra))


def _of(name: str) -> list[Requirement]:
    if name not in PROJECTS:
        return [Requirement(text) for text in requires(name) or ()]
    project = PROJECTS[name]
    optional = project.get("optional-dependencies", {}).items()
    return [
        *map(Requirement, project.get("dependencies", ())),
        *(Requirement(f"{text}; extra == '{extra}'") for extra, texts in optional for text in texts),
    ]


def _wanted(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _imported(package: Path) -> Iterator[str]:
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                yield node.module


@pytest.mark.parametrize("package", sorted(PACKAGES), ids=lambda path: path.name)
def test_imports_are_installed_with_it(package: Path) -> None:
    """Every library that its modules import is required by it, by an extra of it, or by what it requires."""
    project = PACKAGES[package]
    extras = ",".join(project.get("optional-dependencies", {}))
    comes = set(_required(Requirement(f"{project['name']}[{extras}]")))
    ours = {path.name for path, other in PACKAGES.items() if other["name"] in comes}
    libraries = {
        module for module, names in _providers().items() if not comes.isdisjoint(map(canonicalize_name, names))
    }
    roots = {module.partition(".")[0] for module in _imported(package)} - sys.stdlib_module_names
    absent = {imported for importer, imported in MAY_BE_ABSENT if importer == package.name}
    assert roots - ours - libraries - absent == set()
