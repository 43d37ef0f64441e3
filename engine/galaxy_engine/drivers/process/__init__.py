"""Engines as child processes of the backend: for development, tests and engines that are trusted."""

from galaxy_engine.drivers.process.driver import ProcessDriver

__all__ = ["ProcessDriver"]
