"""Engines as containers of a Docker daemon, each shut in as far as the daemon can."""

from galaxy_engine.drivers.docker.credentials import default_config
from galaxy_engine.drivers.docker.daemon import default_host
from galaxy_engine.drivers.docker.driver import DockerDriver

__all__ = ["DockerDriver", "default_config", "default_host"]
