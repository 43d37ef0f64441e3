"""Finding plugins by entry points."""

import sys
from pathlib import Path

import pytest
from importlib_metadata import EntryPoint, distributions

from galaxy_kernel.core.discovery import GROUP, discover
from galaxy_kernel.errors import PluginError

MODULE = """
from galaxy_kernel.core.manifest import Manifest
class Plugin:
    manifest = Manifest(name={name!r}, summary="for a test")
"""


def install(root: Path, distribution: str, point: str, value: str, source: str, module: str) -> None:
    """Lay out what an installed wheel leaves behind."""
    (root / f"{module}.py").write_text(source)
    info = root / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{point} = {value}\n")


def points(root: Path) -> list[EntryPoint]:
    found = distributions(path=[str(root)])
    return [point for each in found for point in each.entry_points.select(group=GROUP)]


@pytest.fixture(autouse=True)
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def test_finds_a_plugin_with_its_distribution(tmp_path: Path) -> None:
    """An installed plugin is found by name, with distribution and version."""
    install(tmp_path, "space-mail", "letters", "d_ok:Plugin", MODULE.format(name="letters"), "d_ok")
    (found,) = discover(points=points(tmp_path)).enabled
    assert (found.name, found.distribution, found.version) == ("letters", "space-mail", "1.0")


def test_two_distributions_with_one_plugin_name_are_refused(tmp_path: Path) -> None:
    """Two plugins of one name are refused; neither is dropped in silence."""
    install(tmp_path, "space-mail", "letters", "d_one:Plugin", MODULE.format(name="letters"), "d_one")
    install(tmp_path, "other-mail", "letters", "d_two:Plugin", MODULE.format(name="letters"), "d_two")
    with pytest.raises(PluginError, match=r"'letters' is installed twice.*(space|other)-mail.*uninstall one"):
        discover(points=points(tmp_path))


def test_import_error_names_plugin_distribution_and_remedy(tmp_path: Path) -> None:
    """A plugin that cannot be imported refuses the boot with its name."""
    install(tmp_path, "bad-mail", "letters", "d_bad:Plugin", "import nothing_of_this_name", "d_bad")
    with pytest.raises(
        PluginError, match=r"'letters' \(distribution bad-mail 1.0\) cannot be imported.*/d_bad.py:1\).*DISABLED"
    ):
        discover(points=points(tmp_path))


def test_disabling_gets_past_a_plugin_that_cannot_be_imported(tmp_path: Path) -> None:
    """A broken plugin can be switched off."""
    install(tmp_path, "bad-mail", "letters", "d_off:Plugin", "1/0", "d_off")
    discovery = discover(["letters"], points=points(tmp_path))
    assert (discovery.enabled, discovery.broken) == ((), ("letters",))


@pytest.mark.parametrize("source", ["Plugin = 3", "class Plugin: pass", "class Plugin:\n    manifest = 'mail'"])
def test_class_without_manifest_is_refused(tmp_path: Path, source: str) -> None:
    """What an entry point names must be a class with a Manifest."""
    module = f"d_no_{abs(hash(source))}"
    install(tmp_path, "odd", "letters", f"{module}:Plugin", source, module)
    with pytest.raises(PluginError, match="not a class with a Manifest"):
        discover(points=points(tmp_path))


def test_manifest_and_entry_point_must_agree(tmp_path: Path) -> None:
    """A plugin has one name."""
    install(tmp_path, "odd", "letters", "d_name:Plugin", MODULE.format(name="mail"), "d_name")
    with pytest.raises(PluginError, match="calls itself 'mail'"):
        discover(points=points(tmp_path))


def test_field_of_the_manifest_must_be_of_its_type(tmp_path: Path) -> None:
    """A missing comma in a tuple of one is reported with field, plugin and distribution."""
    source = MODULE.format(name="letters").replace("summary=", "requires='mail.outbox', summary=")
    install(tmp_path, "odd", "letters", "d_type:Plugin", source, "d_type")
    with pytest.raises(PluginError, match=r"'letters' \(distribution odd 1.0\), field 'requires' of Manifest.*got str"):
        discover(points=points(tmp_path))


def test_unknown_names_to_disable_are_given_back(tmp_path: Path) -> None:
    """A misspelt name in BACKEND_PLUGINS_DISABLED does not go unnoticed."""
    assert discover(["mial"], points=points(tmp_path)).unknown == ("mial",)
