"""`backend dev`: Postgres, the plugins' companions and the backend in one process, kept in one directory."""

from galaxy_devkit.dev.run import run_dev

__all__ = ["run_dev"]
