"""A plugin's branch of the schema: where its revisions are, which tables are its own, and the rules they keep."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from sqlalchemy import MetaData

from galaxy_migrations.errors import MigrationError, reason

VERSION_TABLE_PREFIX = "alembic_version_"
_PLUGIN = re.compile(r"[a-z][a-z0-9_]{0,46}")  # with the prefix it stays within PostgreSQL's 63 bytes


@dataclass(frozen=True, slots=True)
class Branch:
    """One plugin's revisions and tables."""

    plugin: str
    """The plugin's name: a lower-case letter, then letters, digits and `_`, 47 at most."""
    package: str
    """Import name of the package with the revisions, for example `galaxy_mail.migrations`."""
    metadata: MetaData
    """The plugin's own tables, without a schema name."""


def version_table(plugin: str) -> str:
    """Return the name of a plugin's version table; raise MigrationError for anything that is not a plugin's name."""
    if not _PLUGIN.fullmatch(plugin):
        raise MigrationError(f"{plugin!r} is not a plugin's name: expected a lower-case letter, then a-z, 0-9 and _")
    return VERSION_TABLE_PREFIX + plugin


@dataclass(frozen=True, slots=True)
class Chain:
    """A branch with its revisions, which keep the rules."""

    branch: Branch
    scripts: ScriptDirectory
    revisions: tuple[Script, ...]
    """From the baseline to the head; empty only for a plugin whose first revision is still to be written."""

    @property
    def plugin(self) -> str:
        """Name of the plugin."""
        return self.branch.plugin

    @property
    def head(self) -> str | None:
        """Id of the newest revision."""
        return self.revisions[-1].revision if self.revisions else None

    def after(self, revision: str | None) -> tuple[Script, ...]:
        """Return the revisions that follow one of the branch, or all of them for None."""
        return self.revisions[number_of(self.plugin, revision) or 0 :]


def number_of(plugin: str, revision: str | None) -> int | None:
    """Return the number in `<plugin>_0007`; None for anything else."""
    match = re.fullmatch(rf"{re.escape(plugin)}_(\d{{4,}})", revision or "")
    return int(match[1]) if match else None


def read(branch: Branch, *, may_be_empty: bool = False) -> Chain:
    """Read a branch's revisions; raise MigrationError where they break the rules of `migrations/README.md`."""
    version_table(branch.plugin)
    for fault in _table_faults(branch.metadata):
        raise MigrationError(f"plugin {branch.plugin!r}: {fault}", plugin=branch.plugin)
    directory = locate(branch)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # alembic only warns of an id that is in two files
            scripts = ScriptDirectory(directory, version_locations=[directory])
            revisions = tuple(reversed(list(scripts.walk_revisions())))
    except Exception as error:
        raise MigrationError(
            f"plugin {branch.plugin!r}: its revisions in {branch.package} cannot be read: {reason(error)}",
            plugin=branch.plugin,
        ) from error
    if not revisions and not may_be_empty:
        raise MigrationError(
            f"plugin {branch.plugin!r}: {branch.package} holds no revision: reinstall the plugin, "
            "or write its first one as migrations/README.md says",
            plugin=branch.plugin,
        )
    chain = Chain(branch, scripts, revisions)
    for fault in _revision_faults(chain):
        raise MigrationError(f"plugin {branch.plugin!r}: {fault}", plugin=branch.plugin)
    return chain


def locate(branch: Branch) -> Path:
    """Return the directory of a branch's revisions, in the source tree or where a wheel was installed."""
    try:
        spec = find_spec(branch.package)
    except ImportError:  # of a parent package
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MigrationError(
            f"plugin {branch.plugin!r}: there is no package {branch.package}: reinstall the plugin, "
            "or correct what its backend_migrations returns",
            plugin=branch.plugin,
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _table_faults(metadata: MetaData) -> Iterator[str]:
    for table in metadata.tables.values():
        if table.schema is not None:
            yield f"table {table.name!r} names a schema: leave it out, the search_path decides"
        for key in table.foreign_keys:
            target = key.target_fullname.rpartition(".")[0]
            if target not in metadata.tables:
                yield (
                    f"table {table.name!r} has a foreign key to {target!r}, which is not its own: keep the id alone, "
                    "and clean up on the other plugin's facts"
                )


def _revision_faults(chain: Chain) -> Iterator[str]:
    """Yield what is wrong with ids, order and labels; a fork or a gap shows as a wrong id somewhere."""
    previous = None
    for number, script in enumerate(chain.revisions, 1):
        expected = f"{chain.plugin}_{number:04}"
        name = Path(script.path).name
        if script.revision != expected:
            yield f"revision {script.revision!r} in {name} should be {expected!r}: ids count up without gap or fork"
        if script.down_revision != previous:
            yield f"{name} follows {script.down_revision!r}, and should follow {previous!r}"
        if not name.startswith(f"{number:04}_"):
            yield f"{name} holds {expected!r}: its name should begin with {number:04}_"
        if script.dependencies:
            yield f"{name} has depends_on: branches do not depend on each other, order comes from the manifests"
        if script.branch_labels != {chain.plugin}:  # alembic passes the first revision's label on to those that follow
            yield f"{name} must have, if it is the first, branch_labels = ({chain.plugin!r},), and none otherwise"
        previous = expected
