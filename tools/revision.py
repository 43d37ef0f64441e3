"""Draft a plugin's next revision from what its `tables.py` has and its revisions do not make.

    make revision PLUGIN=mail MESSAGE="add priority"

It needs no database of yours: it starts one and throws it away.
"""

import argparse
import asyncio
import importlib
import sys

from galaxy_devkit.testing.postgres import PostgresCluster
from galaxy_kernel.database import make_engine
from galaxy_migrations.author import new_revision
from galaxy_migrations.branch import Branch
from galaxy_migrations.errors import MigrationError


async def draft(dsn: str, plugin: str, message: str) -> None:
    """Write the file and say where it is."""
    package = f"galaxy_{plugin}"
    branch = Branch(plugin, f"{package}.migrations", importlib.import_module(f"{package}.tables").metadata)
    engine = make_engine(dsn)
    try:
        print(await new_revision(engine, branch, message))
    finally:
        await engine.dispose()


def main() -> None:
    """Read the arguments and draft; exit with 1 and one line where that fails."""
    parser = argparse.ArgumentParser(description="Draft a plugin's next revision.")
    parser.add_argument("plugin", help="its name, or `kernel`")
    parser.add_argument("message", help="a few words, which become the file's name")
    arguments = parser.parse_args()
    with PostgresCluster() as cluster:
        try:
            asyncio.run(draft(cluster.clone(), arguments.plugin, arguments.message))
        except (MigrationError, ImportError) as error:
            sys.exit(f"revision: {error}")


if __name__ == "__main__":
    main()
