"""The command line `backend`: the kernel's commands and those the plugins add.

Exit statuses: 0 success, 1 failure, 2 wrong usage, 78 configuration or set of plugins refused.
"""

from galaxy_kernel.cli.app import main

__all__ = ["main"]
