"""The rules of the repository: what every plugin looks like, and how any set of them is ordered."""

import re
from itertools import chain, combinations
from pathlib import Path

import pytest

from galaxy_chassis.config.loading import describe
from galaxy_kernel.core.assembly import assemble
from galaxy_kernel.core.discovery import Discovery, InstalledPlugin, discover
from galaxy_kernel.core.hookspecs import HOOKS
from galaxy_kernel.errors import PluginError
from galaxy_kernel.http.route import Route
from galaxy_kernel.http.routing import check_route

ROOT = Path(__file__).resolve().parents[1]
FOUND = discover().enabled
PLUGINS = [found.name for found in FOUND]
ROUTES: list[tuple[str, Route]] = assemble({}).plugins.contributions("backend_routes")

MODULES = {
    "__init__", "plugin", "settings", "errors", "domain", "tables", "queries", "service", "routes", "rpc", "workers",
    "caches", "events", "commands",
}  # fmt: skip
"""Names that mean the same in every plugin."""
OWN_PARTS = {
    "admin": {"audit", "passwords"},
    "auth": {"notices", "sessions"},
    "engineversion": {"checks", "conformance", "users"},
    "geo": {"counting", "databases", "watching"},
    "notification": {"catalogue", "channels", "kinds", "queue"},
    "mail": {"conversation", "mime", "queue", "rendering", "sealing", "transport"},
    "push": {"frames", "hub", "metrics"},
}
"""Files named after a real second part of a plugin."""


def subsets() -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(PLUGINS, size) for size in range(len(PLUGINS) + 1)))


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


@pytest.mark.parametrize("names", subsets(), ids=lambda names: "+".join(names) or "none")
def test_every_subset_orders_or_says_why_not(names: tuple[str, ...]) -> None:
    """Any set of plugins is either ordered or refused with one sentence that names plugin and remedy."""
    chosen = Discovery(tuple(found for found in FOUND if found.name in names))
    provided = {capability for found in chosen.enabled for capability in found.manifest.provides}
    missing = [
        (found.name, capability)
        for found in chosen.enabled
        for capability in found.manifest.requires
        if capability not in provided
    ]
    if not missing:
        assert sorted(assemble({}, discovery=chosen).plugins.names) == sorted(names)
        return
    with pytest.raises(PluginError) as caught:
        assemble({}, discovery=chosen)
    assert any(f"plugin {plugin!r} requires {capability.name!r}" in str(caught.value) for plugin, capability in missing)
    assert "install galaxy-backend-" in str(caught.value)


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


@pytest.mark.parametrize("found", FOUND, ids=PLUGINS)
def test_every_setting_is_documented(found: InstalledPlugin) -> None:
    """Each setting has a sentence, and stands in docs/configuration.md."""
    page = (ROOT / "docs/configuration.md").read_text()
    for variable in describe(found.name, found.manifest.settings):
        assert variable.doc.endswith("."), variable.name
        assert f"| `{variable.name}` |" in page


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_in_the_guide(hook: str) -> None:
    """The guide for authors of plugins lists every hook."""
    assert f"| `{hook}()` |" in (ROOT / "docs/writing-a-plugin.md").read_text()


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
