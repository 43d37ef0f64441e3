"""The commands of `backend`: the kernel's own, and those that distributions add by entry points."""

import sys
from pathlib import Path

import pytest

from galaxy_kernel.cli import app

GROUP = """
import typer
app = typer.Typer(help="Work with engines.")
@app.command()
def check(image: str, deep: bool = False) -> None:
    "Check an engine."
    print("checked", image, deep)
@app.command("list")
def show() -> None:
    "List engines."
"""
FUNCTION = """
def inspect(name: str, times: int = 1) -> None:
    "Inspect a thing."
    print("inspected", name, times)
"""
PLUGIN = """
import typer
from galaxy_kernel.api import Manifest
class Plugin:
    manifest = Manifest(name="letters", summary="For a test.")
    def __init__(self, context): pass
    def backend_commands(self):
        app = typer.Typer()
        @app.command()
        def count(): print("none")
        @app.command()
        def burn(): print("burnt")
        return app
"""


class Site:
    """A folder of installed distributions, at the front of the path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, distribution: str, module: str, source: str, *points: str) -> None:
        """Lay out what an installed wheel leaves behind; a point is `<group> <name> <object>`."""
        (self._folder / f"{module}.py").write_text(source)
        info = self._folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\nSummary: About it.\n"
        )
        lines = [f"[{group}]\n{name} = {module}:{value}\n" for group, name, value in map(str.split, points)]
        (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a folder for distributions, in an environment without the real plugins."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Site(tmp_path)


class Ran:
    """What `backend` did."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["backend", *arguments])
            app.main()
        self.status = ended.value.code
        self.out, self.err = capsys.readouterr()


def test_the_kernels_own_commands_can_be_imported() -> None:
    """A summary that stands here for a command that is gone would show only when it is run."""
    for name in app._BUILTIN:
        assert app._load(name) is not None


def test_a_command_exists_whoever_has_it(site: Site) -> None:
    """The kernel's own and those of installed distributions do, so that their names can be avoided."""
    site.install("space-tools", "t_exists", GROUP, "galaxy.commands inspect app")
    assert [app.command_exists(name) for name in ("serve", "inspect", "absent")] == [True, True, False]


def test_a_typer_app_is_a_group(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Its entry point's name is the group's, whatever the plugin or the distribution is called."""
    site.install("space-engines", "t_group", GROUP, "galaxy.commands engines app")
    ran = Ran(capsys, "engines", "check", "--deep", "some/image")
    assert (ran.status, ran.out) == (0, "checked some/image True\n")
    assert {"check", "list"} <= set(Ran(capsys, "engines", "--help").out.split())
    assert Ran(capsys, "engines", "chekc").status == 2


def test_a_function_is_a_command(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Its parameters are arguments and options, read by typer."""
    site.install("space-tools", "t_function", FUNCTION, "galaxy.commands inspect inspect")
    ran = Ran(capsys, "inspect", "it", "--times", "3")
    assert (ran.status, ran.out) == (0, "inspected it 3\n")
    assert "Inspect a thing." in Ran(capsys, "inspect", "--help").out


def test_a_function_is_listed_by_its_own_summary(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Several commands of one distribution would all read the same otherwise; what has none has the distribution's."""
    site.install("space-tools", "t_listed", FUNCTION, "galaxy.commands inspect inspect")
    site.install("space-engines", "t_listed_group", GROUP, "galaxy.commands engines app")
    site.install("space-broken", "t_listed_broken", "def broken(:", "galaxy.commands broken broken")
    listed = " ".join(Ran(capsys, "--help").out.split())
    assert "inspect Inspect a thing." in listed
    assert "engines About it." in listed
    assert "broken About it." in listed
    assert {"t_listed", "t_listed_group"}.isdisjoint(sys.modules)


@pytest.mark.parametrize("listed", [True, False], ids=["with entry point", "hook alone"])
def test_a_plugins_hook_is_a_group(site: Site, capsys: pytest.CaptureFixture[str], listed: bool) -> None:
    """`backend_commands` works with an entry point for the class, and without one, when it is not listed."""
    module = f"t_plugin_{listed}"
    points = ["galaxy.plugins letters Plugin", *(["galaxy.commands letters Plugin"] if listed else [])]
    site.install("space-letters", module, PLUGIN, *points)
    ran = Ran(capsys, "letters", "count")
    assert (ran.status, ran.out) == (0, "none\n")
    assert ("letters" in Ran(capsys, "--help").out.split()) is listed


def test_a_listing_imports_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows the summary of the distribution, the kernel's own commands first."""
    site.install("space-engines", "t_listing", "raise AssertionError", "galaxy.commands aaa app")
    ran = Ran(capsys, "--help")
    assert ran.status == 0
    assert "About it." in ran.out
    assert "t_listing" not in sys.modules
    assert ran.out.index("doctor") < ran.out.index("aaa")


def test_an_unknown_command_is_wrong_usage(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that nothing has is named back, with status 2."""
    ran = Ran(capsys, "srve")
    assert ran.status == 2
    assert "No such command 'srve'" in ran.err


@pytest.mark.parametrize("source", ["import nothing_of_this_name", "1/0", "other = 1"])
def test_a_broken_entry_point_costs_its_own_command(
    site: Site, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    """It is named with its distribution and the remedy; listing and every other command work."""
    module = f"t_broken_{abs(hash(source))}"
    site.install("bad-engines", module, source, "galaxy.commands engines app")
    site.install("space-tools", f"{module}_good", FUNCTION, "galaxy.commands inspect inspect")
    broken = Ran(capsys, "engines", "check")
    assert broken.status == 1
    assert "the command 'engines' (distribution bad-engines) cannot be imported: " in broken.err
    assert "reinstall or update the distribution" in broken.err
    assert Ran(capsys, "--help").status == 0
    assert Ran(capsys, "inspect", "it").out == "inspected it 1\n"


def test_a_hook_that_fails_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A plugin whose commands cannot be made fails with its name: not in silence, and not with status 0."""
    source = PLUGIN.replace("        app = typer.Typer()", "        raise RuntimeError('out of coal')")
    points = ("galaxy.plugins letters Plugin", "galaxy.commands letters Plugin")
    site.install("space-letters", "t_failing", source, *points)
    ran = Ran(capsys, "letters", "count")
    assert ran.status == 1
    assert "the commands of plugin 'letters' are absent" in ran.err
    assert "out of coal" in ran.err


def test_a_listed_plugin_without_commands_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry point for a plugin that has no such hook is not a command that does nothing."""
    source = PLUGIN.replace("def backend_commands", "def commands")
    points = ("galaxy.plugins letters Plugin", "galaxy.commands letters Plugin")
    site.install("space-letters", "t_bare", source, *points)
    ran = Ran(capsys, "letters", "count")
    assert ran.status == 1
    assert "plugin 'letters' has no commands here" in ran.err


def test_one_name_of_two_distributions_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of two commands of one name wins in silence."""
    site.install("space-tools", "t_one", FUNCTION, "galaxy.commands inspect inspect")
    site.install("other-tools", "t_two", FUNCTION, "galaxy.commands inspect inspect")
    ran = Ran(capsys, "inspect", "it")
    assert ran.status == 1
    assert "installed twice, by the distributions other-tools, space-tools: uninstall one of them" in ran.err


def test_the_kernels_own_commands_cannot_be_replaced(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A distribution's `serve` is not the backend's."""
    site.install("bad-tools", "t_serve", FUNCTION, "galaxy.commands serve inspect")
    assert "Run the backend until SIGTERM." in Ran(capsys, "serve", "--help").out
