"""The rules of a branch: a broken one is reported with the plugin."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from fakes import FLEET

from galaxy_migrations.branch import Branch, locate, read
from galaxy_migrations.conventions import plugin_metadata
from galaxy_migrations.errors import MigrationError

REVISION = "revision = {revision!r}\ndown_revision = {down!r}\nbranch_labels = {label!r}\ndepends_on = {depends!r}\n"
FIRST = REVISION.format(revision="some_0001", down=None, label="some", depends=None)
_numbers = itertools.count()

Make = Callable[[dict[str, str]], Branch]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that makes a branch of the files given."""

    def make(files: dict[str, str]) -> Branch:
        package = f"made_{next(_numbers)}"
        (tmp_path / package).mkdir()
        for name, text in files.items():
            (tmp_path / package / name).write_text(text)
        return Branch("some", package, sa.MetaData())

    monkeypatch.syspath_prepend(tmp_path)
    return make


def later(number: int, *, down: str | None = "some_0001", label: str | None = None, depends: str | None = None) -> str:
    return REVISION.format(revision=f"some_{number:04}", down=down, label=label, depends=depends)


BROKEN = {
    "gap": ({"0001_a.py": FIRST, "0003_b.py": later(3)}, "'some_0003' in 0003_b.py should be 'some_0002'"),
    "fork": (
        {"0001_a.py": FIRST, "0002_b.py": later(2), "0003_c.py": later(3)},
        "should be 'some_0002'|0003_c.py follows",
    ),
    "twice": ({"0001_a.py": FIRST, "0002_b.py": later(2), "0002_c.py": later(2)}, "present more than once"),
    "two baselines": ({"0001_a.py": FIRST, "0002_b.py": later(2, down=None, label="other")}, "should"),
    "parent missing": ({"0002_b.py": later(2)}, "cannot be read"),
    "label missing": ({"0001_a.py": FIRST.replace("'some'", "None")}, r"must have.*branch_labels = \('some',\)"),
    "another label": ({"0001_a.py": FIRST, "0002_b.py": later(2, label="x")}, "branch_labels"),
    "depends_on": ({"0001_a.py": FIRST, "0002_b.py": later(2, depends="some_0001")}, "has depends_on"),
    "name of file": ({"0002_a.py": FIRST}, "0002_a.py holds 'some_0001': its name should begin with 0001_"),
    "no Python": ({"0001_a.py": "revision ="}, "cannot be read: SyntaxError"),
    "another plugin's": ({"0001_a.py": FIRST.replace("some", "other")}, "'other_0001' in 0001_a.py should be"),
    "empty": ({"__init__.py": ""}, "holds no revision"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_rule_is_told(make: Make, rule: str) -> None:
    """A branch whose revisions break a rule is refused, naming plugin and file."""
    files, message = BROKEN[rule]
    with pytest.raises(MigrationError, match=message) as caught:
        read(make(files))
    assert caught.value.plugin == "some"
    assert str(caught.value).startswith("plugin 'some': ")


def test_well_kept_branch_is_read_in_order(make: Make) -> None:
    """Revisions are returned from the baseline to the head, and those after any of them."""
    chain = read(make({"0002_b.py": later(2), "0001_a.py": FIRST}))
    assert [script.revision for script in chain.revisions] == ["some_0001", "some_0002"]
    assert [script.revision for script in chain.after("some_0001")] == ["some_0002"]
    assert chain.head == "some_0002"


@pytest.mark.parametrize("package", ["galaxy_absent.migrations", "fake_fleet.absent", "fake_fleet.tables"])
def test_missing_package_is_told(package: str) -> None:
    """A package that does not exist, or is a module, is refused with the plugin."""
    with pytest.raises(MigrationError, match=f"plugin 'some': there is no package {package}"):
        locate(Branch("some", package, sa.MetaData()))


@pytest.mark.parametrize("plugin", ["", "Mail", "1st", "a-b", "a" * 48])
def test_names_that_make_no_version_table_are_refused(plugin: str) -> None:
    """A plugin's name that does not fit into a version table's name is refused."""
    with pytest.raises(MigrationError, match="is not a plugin's name"):
        read(Branch(plugin, FLEET.package, sa.MetaData()))


def test_foreign_key_to_another_plugin_is_refused() -> None:
    """A foreign key to a table that is not the plugin's own would tie the branches together."""
    metadata = plugin_metadata()
    sa.Table("some_things", metadata, sa.Column("account_id", sa.Uuid, sa.ForeignKey("accounts.id")))
    with pytest.raises(MigrationError, match="'some_things' has a foreign key to 'accounts', which is not its own"):
        read(Branch("some", FLEET.package, metadata))


def test_named_schema_is_refused() -> None:
    """Tables name no schema, so that they can live in any."""
    metadata = sa.MetaData()
    sa.Table("some_things", metadata, sa.Column("id", sa.Uuid), schema="elsewhere")
    with pytest.raises(MigrationError, match="'some_things' names a schema"):
        read(Branch("some", FLEET.package, metadata))
