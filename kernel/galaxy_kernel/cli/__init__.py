"""The command line `backend`: the kernel's commands and those the plugins add.

Exit statuses: 0 success, 1 failure, 2 wrong usage, 78 configuration or set of plugins refused, 130 interrupted.
"""

import sys

_INTERRUPTED = 130
"""What shells report for a program that Ctrl-C has ended."""


def main() -> None:
    """Run `backend`. Ctrl-C ends it without a traceback, also while modules are imported."""
    try:
        from galaxy_kernel.cli.app import main as run  # noqa: PLC0415 - it takes a while

        run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
