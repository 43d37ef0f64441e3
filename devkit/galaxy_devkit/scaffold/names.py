"""What a new plugin may be called."""

import re
from collections.abc import Iterator
from importlib.util import find_spec

from importlib_metadata import entry_points

from galaxy_chassis.errors import BootError
from galaxy_kernel.cli.app import command_exists
from galaxy_kernel.core.assembly import assemble, describe_routes
from galaxy_kernel.core.discovery import GROUP

LONGEST = 24
"""Characters: constraints and indexes are named after it, and Postgres cuts names off at 63."""

_SHAPE = re.compile(r"[a-z][a-z0-9]+")
_ROUTES = re.compile(r"/api/v1/(?:public|user|admin)/([a-z0-9]+)(?:/|$)")


class PluginNameError(ValueError):
    """A new plugin cannot have this name; the message completes the sentence "the name …"."""


def check_name(name: str) -> None:
    """Raise PluginNameError for a name that no plugin can have, or that would collide with what is installed."""
    if not _SHAPE.fullmatch(name) or len(name) > LONGEST:
        raise PluginNameError(
            f"must be 2 to {LONGEST} lower-case letters a-z and digits, beginning with a letter, for example 'notes': "
            "package, tables, variables and paths are named after it"
        )
    for holder in _holders(name):
        raise PluginNameError(f"is in use, by {holder}: choose another")


def _holders(name: str) -> Iterator[str]:
    """Yield what is installed and has the name."""
    if command_exists(name):
        yield f"the command `backend {name}`"
    if entry_points(group=GROUP, name=name):
        yield "an installed plugin"
    if find_spec(f"galaxy_{name}") is not None:
        yield f"the installed package galaxy_{name}"
    prefix = f"BACKEND_{name.upper()}_"
    variables, paths = _of_installed_plugins()
    yield from (f"the variable {variable}" for variable in variables if variable.startswith(prefix))
    yield from (f"the path {path}" for path in paths if (found := _ROUTES.match(path)) and found[1] == name)


def _of_installed_plugins() -> tuple[list[str], list[str]]:
    """Return the variables and paths of kernel and plugins; none of a set that is refused, as `backend doctor` says."""
    try:
        assembly = assemble({})
        routes = describe_routes(assembly)
    except BootError:
        return [], []
    return [variable.name for variable in assembly.configuration.variables], [route.path for _, route in routes]
