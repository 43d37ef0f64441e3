"""The command `galaxy`.

Exit statuses: 0 done, 1 refused or failed, 2 wrong usage, 3 not signed in, 4 the server cannot be reached or cannot
serve now, 130 interrupted, 141 nobody reads the output.
"""

import sys
from io import TextIOWrapper


def main() -> None:
    """Run `galaxy`."""
    try:
        from galaxy_client.cli.app import app  # noqa: PLC0415 - the library does without what the command needs
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("galaxy_client"):
            raise
        sys.exit(
            f"galaxy: the command needs the package {error.name}: install galaxy-backend-client[cli], in place of "
            "galaxy-backend-client"
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # names may have letters that this terminal's encoding has not
    app(prog_name="galaxy")
