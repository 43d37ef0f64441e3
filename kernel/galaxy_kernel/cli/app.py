"""The root of the command line. Commands are listed without importing them, and imported when they are run.

Three sources: the kernel's own commands; entry points of the group `galaxy.commands` (a typer app is a group of that
name, a function is a command, a plugin's class stands for its hook `backend_commands`); and that hook of any installed
plugin, which works without such an entry point but is then not listed by `--help`.
"""

import ast
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from importlib_metadata import EntryPoint
from typer.core import TyperCommand, TyperGroup

from galaxy_kernel.installed import installed_entry_points

GROUP = "galaxy.commands"

_BUILTIN = {
    "serve": ("galaxy_kernel.cli.running:serve", "Run the backend until SIGTERM."),
    "config": (
        "galaxy_kernel.cli.inspection:config",
        "Show every setting: value, source, default. Secrets are not shown.",
    ),
    "plugins": ("galaxy_kernel.cli.inspection:plugins", "Show the installed plugins, in order of start."),
    "routes": ("galaxy_kernel.cli.inspection:routes", "Show every HTTP operation and who may call it."),
    "openapi": (
        "galaxy_kernel.cli.inspection:print_openapi",
        "Print the description of the HTTP API (OpenAPI 3.1).",
    ),
    "migrate": ("galaxy_kernel.cli.database:migrate", "Bring the schema up to date, or show how far it is."),
    "purge": ("galaxy_kernel.cli.database:purge", "Drop the tables of one plugin, for good."),
    "doctor": (
        "galaxy_kernel.cli.doctor:doctor",
        "Look for what is wrong: settings, plugins, Postgres, schema, service.",
    ),
}


class Commands(TyperGroup):
    """The commands by name: stubs with summaries for a listing, the imported command for a run."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is that of the superclass
        """Return the names: the kernel's own, then the others by name."""
        return [*_BUILTIN, *sorted(set(_contributed()) - set(_BUILTIN))]

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:  # noqa: ARG002 - as above
        """Return a stub of the command for a listing."""
        if cmd_name in _BUILTIN:
            return TyperCommand(cmd_name, help=_BUILTIN[cmd_name][1])
        point = _contributed().get(cmd_name)
        return None if point is None else TyperCommand(cmd_name, help=_summary(point))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Import the command to run; the superclass reports one that does not exist."""
        command = _load(args[0]) if args else None
        if command is not None:
            return args[0], command, args[1:]
        if args and args[0] in _contributed():
            ctx.exit(1)  # listed, and the reason why it is absent is written: the superclass would run the stub
        return super().resolve_command(ctx, args)


def main() -> None:
    """Run `backend`."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would read the metadata of all that is installed
    try:
        installed_entry_points(GROUP)  # before any library trips over damaged metadata
        typer.main.get_command(_root())(prog_name="backend")
    except Exception as error:
        from galaxy_chassis.errors import BootError  # noqa: PLC0415 - listing commands does without it

        if not isinstance(error, BootError):
            raise
        from galaxy_chassis.cli import complain  # noqa: PLC0415 - as above

        complain(error)
        sys.exit(error.status)


def command_exists(name: str) -> bool:
    """Return whether the kernel, or an entry point of an installed distribution, has a command of a name."""
    return name in _BUILTIN or name in _contributed()


def _root() -> typer.Typer:
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(help="Galaxy Backend: hosts turn-based games that run for weeks.")
    def root(
        version: Annotated[
            bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
        ] = False,
    ) -> None:
        """Do nothing else: the root needs a callback to be a group."""

    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from galaxy_chassis.cli import version_shown  # noqa: PLC0415 - listing commands does without it

        version_shown("backend", "galaxy-backend-kernel")(wanted)


def _contributed() -> dict[str, EntryPoint]:
    return {point.name: point for point in installed_entry_points(GROUP)}


def _summary(point: EntryPoint) -> str:
    """Return a function's own summary, or else that of its distribution."""
    return _docstring(point).partition("\n")[0] or ("" if point.dist is None else str(point.dist.metadata["Summary"]))


def _docstring(point: EntryPoint) -> str:
    """Return the doc string of the function that an entry point names, from its file: nothing is imported."""
    package, *rest = point.module.split(".")
    try:
        spec = find_spec(package)
        places = (spec and (spec.submodule_search_locations or [str(Path(spec.origin or "").parent)])) or ()
        [path] = [path for place in places if (path := Path(place, *(rest or [package])).with_suffix(".py")).is_file()]
        tree = ast.parse(path.read_text("utf-8"))
    except (ImportError, OSError, ValueError, SyntaxError):
        return ""  # what is damaged is still listed: when it is run, the error is shown
    named = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == point.attr]
    return (ast.get_docstring(named[0]) or "") if named else ""


def _load(name: str) -> Any:
    """Return the command, or None where there is none. Its class is click's, of which typer has a copy of its own."""
    if name in _BUILTIN:
        return _as_command(name, EntryPoint(name, _BUILTIN[name][0], GROUP).load(), help=_BUILTIN[name][1])
    if name not in _contributed():
        return _load_from_plugin(name)
    loaded = _load_contributed(name)
    if not hasattr(loaded, "manifest"):
        return _as_command(name, loaded)
    command = _load_from_plugin(name)
    if command is None:
        sys.stderr.write(
            f"backend: plugin {name!r} has no commands here: is it enabled, and has it backend_commands?\n"
        )
    return command


def _load_contributed(name: str) -> Any:
    """Return what the entry point names. Raise BootError for one that cannot be imported, or of two distributions."""
    from galaxy_chassis.errors import BootError, place  # noqa: PLC0415 - listing commands does without it

    points = [point for point in installed_entry_points(GROUP) if point.name == name]
    owners = ", ".join(sorted("unknown" if point.dist is None else str(point.dist.name) for point in points))
    if len(points) > 1:
        raise BootError(
            f"the command {name!r} is installed twice, by the distributions {owners}: uninstall one of them"
        )
    try:
        return points[0].load()
    except Exception as error:
        raise BootError(
            f"the command {name!r} (distribution {owners}) cannot be imported: {type(error).__name__}: {error} "
            f"({place(error, points[0].module.partition('.')[0])}): "
            "reinstall or update the distribution"
        ) from error


def _as_command(name: str, found: Any, **options: Any) -> Any:
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name, **options)(found)
    return typer.main.get_command(app)


def _load_from_plugin(name: str) -> Any:
    """Return `backend <plugin>`, if that plugin has commands; write the reason to stderr where it cannot be loaded."""
    from galaxy_chassis.errors import BootError  # noqa: PLC0415 - listing commands does without it
    from galaxy_kernel.core.assembly import assemble  # noqa: PLC0415 - as above
    from galaxy_kernel.errors import PhaseError  # noqa: PLC0415 - as above

    try:
        assembly = assemble()
        found = list(assembly.plugins.call("backend_commands", only=name))
    except PhaseError as error:
        sys.stderr.write(f"backend: the commands of plugin {error.plugin!r} are absent: {error}\n")
        return None
    except BootError as error:
        sys.stderr.write(f"backend: the plugins' commands are absent: {error}\n")
        return None
    return _as_command(name, found[0][1]) if found else None
