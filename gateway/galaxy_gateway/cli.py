"""The command line `gateway`.

Exit statuses: 0 success, 1 failure, 2 wrong usage, 78 configuration refused.
"""

import os
import sys


def main() -> None:
    """Run `gateway`."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would read the metadata of all that is installed
    from galaxy_chassis.cli import complain  # noqa: PLC0415 - after the variable is set
    from galaxy_chassis.errors import BootError  # noqa: PLC0415 - as above
    from galaxy_gateway.commands import app  # noqa: PLC0415 - as above

    try:
        app(prog_name="gateway")
    except BootError as error:
        complain(error, "gateway")
        sys.exit(error.status)
