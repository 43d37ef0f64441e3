"""The rules of the repository: what every plugin looks like, and how any set of them is ordered."""

import ast
import re
from pathlib import Path

import pytest
from subsets import check_order, subsets, to_assemble

from galaxy_chassis.config.loading import describe
from galaxy_kernel.core.assembly import assemble, describe_routes
from galaxy_kernel.core.discovery import Discovery, InstalledPlugin, discover
from galaxy_kernel.core.hookspecs import HOOKS
from galaxy_kernel.core.ordering import order
from galaxy_kernel.errors import PluginError
from galaxy_kernel.http import openapi
from galaxy_kernel.http.route import Route
from galaxy_kernel.http.routing import check_route

ROOT = Path(__file__).resolve().parents[1]
FOUND = discover().enabled
PLUGINS = [found.name for found in FOUND]
MANIFESTS = [found.manifest for found in FOUND]
ROUTES: list[tuple[str, Route]] = describe_routes(assemble({}))

MODULES = {
    "__init__", "plugin", "settings", "errors", "domain", "tables", "queries", "service", "routes", "rpc", "workers",
    "caches", "events", "commands", "doctor", "metrics",
}  # fmt: skip
"""Names that mean the same in every plugin."""
OWN_PARTS = {
    "admin": {"audit", "lockout", "passwords", "strength"},
    "auth": {"notices", "sessions"},
    "engineversion": {"checks", "conformance", "notices", "users"},
    "geo": {"counting", "databases", "watching"},
    "lobby": {"headers", "notices", "standing", "store"},
    "notification": {"catalogue", "channels", "kinds", "queue"},
    "mail": {
        "conversation",
        "greeting",
        "headers",
        "mime",
        "queue",
        "rendering",
        "replies",
        "sealing",
        "transport",
        "verdicts",
    },
    "push": {"frames", "hub", "replays"},
    "runtime": {"database_time", "drivers", "measuring", "notices", "policies", "reconciling", "schedules", "table"},
}
"""Files named after a real second part of a plugin."""


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DECISIONS = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.BoolOp, ast.Match),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
MIRRORED = {"kernel": "galaxy_kernel", "chassis": "galaxy_chassis", "devkit": "galaxy_devkit"}
"""Distributions whose files have a test of their name each, and their packages."""
DATA_ONLY = {
    "galaxy_chassis/telemetry/metrics.py": "declarations of metrics",
    "galaxy_kernel/__main__.py": "calls the command line's main",
    "galaxy_kernel/core/companions.py": "dataclasses without methods",
    "galaxy_kernel/core/manifest.py": "dataclasses without methods",
    "galaxy_kernel/http/route.py": "an enumeration and a dataclass without methods",
    "galaxy_kernel/rpc/service.py": "a dataclass without methods",
    "galaxy_kernel/workers/worker.py": "a dataclass without methods",
}
"""Files that need no test, and why. Besides these: revisions, and `__init__.py` without code."""


@pytest.mark.parametrize("found", FOUND, ids=PLUGINS)
def test_anatomy(found: InstalledPlugin) -> None:
    """A plugin's folder holds the same names as every other's, each of its files and tests in its place."""
    folder = ROOT / "plugins" / found.name
    assert found.distribution == f"galaxy-backend-{found.name}"
    assert (folder / "README.md").exists()
    package = folder / f"galaxy_{found.name}"
    names = {path.stem for path in package.glob("*.py")}
    assert names - MODULES <= OWN_PARTS.get(found.name, set()), "rename it, or give it a place in OWN_PARTS"
    assert {"__init__", "plugin"} <= names
    tests = {path.stem for path in (folder / "tests").glob("test_*.py")}
    assert tests, "a plugin has tests of its own"


@pytest.mark.parametrize("found", FOUND, ids=PLUGINS)
def test_importing_is_free(found: InstalledPlugin) -> None:
    """A plugin's package says what it is in one paragraph and imports nothing."""
    source = (ROOT / "plugins" / found.name / f"galaxy_{found.name}" / "__init__.py").read_text()
    assert re.fullmatch(r'""".+?"""\n', source, flags=re.DOTALL), "only a docstring belongs there"


@pytest.mark.parametrize("found", FOUND, ids=PLUGINS)
def test_revisions_are_numbered(found: InstalledPlugin) -> None:
    """Revisions are called <plugin>_<number> without a gap, and their files begin with the number."""
    files = sorted((ROOT / "plugins" / found.name / f"galaxy_{found.name}" / "migrations").glob("[0-9]*.py"))
    for number, path in enumerate(files, start=1):
        assert path.name.startswith(f"{number:04d}_")
        assert f'revision = "{found.name}_{number:04d}"' in path.read_text()


def test_every_subset_orders_or_says_why_not() -> None:
    """Any set of plugins is either ordered or refused with one sentence that names plugin and remedy.

    That is so whether the others are not installed or disabled.
    """
    for chosen in subsets(MANIFESTS):
        check_order(chosen)
        check_order(chosen, [manifest for manifest in MANIFESTS if manifest not in chosen])


def test_plugins_assemble_as_their_manifests_are_ordered() -> None:
    """Real plugins of a covering selection are made in that order, or refused with that sentence."""
    for names in to_assemble(MANIFESTS):
        chosen = Discovery(tuple(found for found in FOUND if found.name in names))
        try:
            expected: object = [manifest.name for manifest in order([found.manifest for found in chosen.enabled])]
        except PluginError as error:
            expected = str(error)
        try:
            made: object = list(assemble({}, discovery=chosen).plugins.names)
        except PluginError as error:
            made = str(error)
        assert made == expected, "+".join(sorted(names)) or "none"


def test_disabling_mail_refuses_since_others_require_it() -> None:
    """The sentence names both plugins and the variable."""
    with pytest.raises(
        PluginError, match=r"'adminchannel' requires 'mail.outbox', which the disabled plugin 'mail' provides"
    ):
        assemble({"BACKEND_PLUGINS_DISABLED": "mail"})


@pytest.mark.parametrize(("plugin", "route"), ROUTES, ids=[route.name for _, route in ROUTES])
def test_every_route_declares_its_access(plugin: str, route: Route) -> None:
    """Each route says who may call it, under the path that says so too."""
    check_route(plugin, route)
    assert route.summary.endswith(".")


def test_every_operation_is_described() -> None:
    """Each says in the API's description what its summary does not say."""
    paths = openapi.build(ROUTES)["paths"]
    for operation in (each for path in paths.values() for each in path.values()):
        description = operation.get("description", "")
        assert description.endswith("."), operation["operationId"]
        assert description != operation["summary"]


@pytest.mark.parametrize("found", FOUND, ids=PLUGINS)
def test_every_setting_is_documented(found: InstalledPlugin) -> None:
    """Each setting has a sentence, and stands in docs/configuration.md."""
    page = (ROOT / "docs/configuration.md").read_text()
    for variable in describe(found.name, found.manifest.settings):
        assert variable.doc.endswith("."), variable.name
        assert f"| `{variable.name}` |" in page


def source_files() -> dict[str, Path]:
    """Return the files of the mirrored distributions that may need a test, by their name from the package on."""
    return {
        f"{package}/{path.relative_to(root).as_posix()}": path
        for folder, package in MIRRORED.items()
        for root in [ROOT / folder / package]
        for path in sorted(root.rglob("*.py"))
        if path.parent.name != "migrations" and (path.name != "__init__.py" or functions_of(path))
    }


def place_of_test(name: str) -> Path:
    """Return where the test of a file stands: `logs/__init__.py` is the module `logs`, in `test_logs.py` beside it."""
    package, *parents, file = Path(name).parts
    folder = next(folder for folder, mirrored in MIRRORED.items() if mirrored == package)
    if file == "__init__.py":
        *parents, file = parents
    return ROOT.joinpath(folder, "tests", *parents, f"test_{file.removesuffix('.py')}.py")


def functions_of(path: Path) -> list[int]:
    """Return the lines of a file at which a function begins."""
    return [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, DEFINITIONS)]


def branches_of(path: Path) -> list[int]:
    """Return the lines of a file that decide something, but for what runs it as a program."""
    tree = ast.parse(path.read_text())
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, DECISIONS) and not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))
    ]


def test_every_file_has_the_test_of_its_name() -> None:
    """A newcomer finds the tests of a file without a search: `core/assembly.py` has `core/test_assembly.py`."""
    needed = {name: place_of_test(name) for name in source_files() if name not in DATA_ONLY}
    missing = [name for name, test in needed.items() if not test.exists()]
    assert missing == [], [str(needed[name].relative_to(ROOT)) for name in missing]
    assert [str(test) for test in needed.values() if not re.search(r"(?m)^(async )?def test_", test.read_text())] == []


def test_files_without_a_test_hold_data_alone() -> None:
    """None of them decides anything, each is there, and none of them has a test after all."""
    files = source_files()
    assert sorted(DATA_ONLY.keys() - files.keys()) == []
    assert {name: lines for name in DATA_ONLY if (lines := branches_of(files[name]))} == {}
    assert {name: functions for name in DATA_ONLY if (functions := functions_of(files[name]))} == {}
    assert [name for name in DATA_ONLY if place_of_test(name).exists()] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_in_the_guide(hook: str) -> None:
    """The guide for authors of plugins lists every hook."""
    assert f"| `{hook}()` |" in (ROOT / "docs/writing-a-plugin.md").read_text()


def test_advisory_locks_are_taken_in_one_place() -> None:
    """Their names are hashed with the schema there; a lock taken elsewhere might meet another one's number."""
    allowed = {"kernel/galaxy_kernel/database/locks.py", "migrations/galaxy_migrations"}
    taken = [
        path.relative_to(ROOT).as_posix()
        for folder in (*ROOT.glob("*/galaxy_*"), *ROOT.glob("plugins/*/galaxy_*"))
        for path in sorted(folder.rglob("*.py"))
        if re.search(r"pg_(try_)?advisory", path.read_text())
    ]
    assert [path for path in taken if not any(path.startswith(each) for each in allowed)] == []
    assert "kernel/galaxy_kernel/database/locks.py" in taken


def test_changelog_has_an_unreleased_section() -> None:
    """Changes are noted as they are made."""
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    """What is installed is pinned by hash, from whatever registry the machine uses."""
    for path in (ROOT / "locks").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text, path.name
        pins = re.findall(r"(?m)^([a-z0-9.-]+)(?:\[[a-z,]+\])?==", text)
        assert pins
        assert text.count("--hash=sha256:") >= len(pins), path.name
