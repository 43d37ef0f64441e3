"""The command `galaxy-engine`, which inside the backend is `backend engine`."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from galaxy_engine.drivers.docker import DockerDriver
    from galaxy_engine.drivers.docker.networks import Reach
    from galaxy_engine.kit.examination import Settings
    from galaxy_engine.kit.registry import Check
    from galaxy_engine.kit.running import Report
    from galaxy_engine.kit.subject import Subject
    from galaxy_engine.kit.trace import Trace

app = typer.Typer(
    help="Game engines: hold one against the contract, or print the contract.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

FAILED, USAGE = 1, 2
_NETWORK = "galaxy-engine-check"
"""The network of containers that are checked: made once, without a way out, and left for the next time."""
_RUNS_ALREADY = 5.0
"""Seconds that an engine which somebody else has started may take to be healthy."""


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"galaxy-engine {version('galaxy-backend-engine')}\n")
        raise typer.Exit


@app.callback()
def group(
    shows_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Game engines: hold one against the contract, or print the contract."""


@app.command()
def contract() -> None:
    """Print the contract between host and engine, as OpenAPI 3.1 in YAML."""
    from galaxy_engine.contract import document  # noqa: PLC0415

    sys.stdout.write(document())


@app.command()
def check(
    subject: Annotated[
        str,
        typer.Argument(metavar="IMAGE|URL|PATH", help="An image, the http://HOST:PORT of an engine, an executable."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ID", help="Make this check; may be repeated.")
    ] = None,
    seed: Annotated[
        str, typer.Option("--seed", help="What all chance comes from, the engine's and the kit's.")
    ] = "galaxy",
    orders: Annotated[
        Path | None,
        typer.Option("--orders", metavar="FILE", help="JSON with sets of orders to try, or openings as in examples."),
    ] = None,
    seconds: Annotated[float, typer.Option("--time", min=0, help="Seconds that playing a whole game may take.")] = 60,
    token: Annotated[
        str,
        typer.Option("--token", envvar="GALAXY_TOKEN", show_default=False, help="The token of an engine given by URL."),
    ] = "",
) -> None:
    """Hold an engine against the contract.

    An image or executable is started twice, in different environments, and removed again. Exit status: 0 it conforms,
    1 it does not, 2 usage.
    """
    report = _with_signals(subject, _settings(seed, seconds, orders), _known(only or []), token)
    if as_json:
        import msgspec  # noqa: PLC0415

        document = {**msgspec.to_builtins(report), "conforms": report.conforms}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
    else:
        from galaxy_engine.kit.rendering import as_text  # noqa: PLC0415

        sys.stdout.write(as_text(report))
    if not report.conforms:
        raise typer.Exit(FAILED)


@app.command("docker-proxy")
def docker_proxy(
    stack: Annotated[str, typer.Option(help="The stack: BACKEND_STACK_LABEL of the backends that are served.")],
    network: Annotated[list[str], typer.Option(help="The engines' network; may be repeated.")],
    image: Annotated[
        list[str],
        typer.Option(metavar="REPOSITORY", help="What may run; with a / in the end, all below. May be repeated."),
    ],
    listen: Annotated[str, typer.Option(help="HOST:PORT or unix:///PATH.")] = "127.0.0.1:2375",
    daemon: Annotated[str, typer.Option(help="Where the daemon listens.")] = "unix:///var/run/docker.sock",
    max_memory: Annotated[int, typer.Option(min=1, help="Bytes that one engine may use at most.")] = 1024**3,
    max_cpus: Annotated[float, typer.Option(min=0.01, help="CPUs that one engine may use at most.")] = 4,
    max_pids: Annotated[int, typer.Option(min=1, help="Processes of one engine at most.")] = 1024,
    max_tmpfs: Annotated[int, typer.Option(min=1, help="Bytes of one engine's /tmp at most.")] = 256 * 1024**2,
) -> None:
    """Stand between a backend and the Docker daemon: only what engines need passes.

    The proxy alone holds the daemon's socket. It acts on containers of its stack alone, and creates none that
    could harm the host.
    """
    from galaxy_engine.drivers.driver import Limits  # noqa: PLC0415
    from galaxy_engine.proxy.policy import Policy  # noqa: PLC0415
    from galaxy_engine.proxy.server import serve  # noqa: PLC0415

    most = Limits(memory=max_memory, cpus=max_cpus, pids=max_pids, tmpfs=max_tmpfs)
    try:
        policy = Policy.checked(stack, tuple(image), tuple(network), most)
        asyncio.run(serve(policy, daemon, listen))
    except (ValueError, OSError) as exc:
        sys.stderr.write(f"galaxy-engine docker-proxy: {exc}\n")
        raise typer.Exit(USAGE) from None


def main() -> None:
    """Run the command."""
    app(prog_name="galaxy-engine")


def _usage(message: str) -> typer.Exit:
    sys.stderr.write(f"galaxy-engine check: {message}\n")
    return typer.Exit(USAGE)


def _known(ids: list[str]) -> list[str]:
    from galaxy_engine.kit.checks import all_checks  # noqa: PLC0415

    known = all_checks()
    wanted = [identity.upper() for identity in ids]
    for identity in wanted:
        if identity not in known:
            raise _usage(f"there is no check {identity}: they are {next(iter(known))} to {list(known)[-1]}")
    return wanted


def _settings(seed: str, seconds: float, orders: Path | None) -> "Settings":
    import msgspec  # noqa: PLC0415

    from galaxy_engine.kit.examination import Settings  # noqa: PLC0415
    from galaxy_engine.kit.orders import OrdersFile, read_orders  # noqa: PLC0415

    file = OrdersFile()
    if orders is not None:
        try:
            file = read_orders(orders)
        except OSError as exc:
            raise _usage(f"--orders {orders}: {exc.strerror}") from None
        except msgspec.MsgspecError as exc:
            raise _usage(f"--orders {orders}: not a JSON array of sets or openings: {exc}") from None
    return Settings(seed=seed, seconds=seconds, orders=file)


def _with_signals(subject: str, settings: "Settings", only: list[str], token: str) -> "Report":
    """Return the report. SIGINT and SIGTERM end the examination early, and engines are removed all the same."""
    try:
        return asyncio.run(_examine(subject, settings, only, token))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("galaxy-engine check: stopped; what it started is removed\n")
        raise typer.Exit(130) from None


async def _examine(subject: str, settings: "Settings", only: list[str], token: str) -> "Report":
    import msgspec  # noqa: PLC0415

    from galaxy_engine.kit.running import examine  # noqa: PLC0415
    from galaxy_engine.kit.trace import Trace  # noqa: PLC0415

    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    files = Path(tempfile.gettempdir()) / f"galaxy-engine-check-{os.getpid()}"
    trace = Trace(files)
    settings = msgspec.structs.replace(settings, files=files)
    if "://" in subject:
        settings = msgspec.structs.replace(settings, start_within=_RUNS_ALREADY)
    with _runtime_dir() as runtime_dir:
        return await examine(_subject(subject, trace, token, runtime_dir), trace, settings, only, _progress())


def _subject(name: str, trace: "Trace", token: str, runtime_dir: Path) -> "Subject":
    """Return what a name stands for: a URL has a scheme, an executable file is a PATH, all else is an IMAGE."""
    import uuid  # noqa: PLC0415

    from galaxy_engine.kit.launched import LaunchedSubject  # noqa: PLC0415
    from galaxy_engine.kit.remote import RemoteSubject  # noqa: PLC0415

    if "://" in name:
        try:
            return RemoteSubject(name, trace, token)
        except ValueError as exc:
            raise _usage(f"{name}: {exc}") from None
    path, owner = Path(name), str(uuid.uuid4())
    if path.is_file() and os.access(path, os.X_OK):
        from galaxy_engine.drivers.process import ProcessDriver  # noqa: PLC0415

        return LaunchedSubject(str(path.absolute()), ProcessDriver(owner, runtime_dir), owner, trace)
    if path.exists():
        kind = "a directory" if path.is_dir() else "a file that is not executable"
        raise _usage(f"{name} is {kind}: give an executable, an image or a URL")
    return LaunchedSubject(name, _docker(owner), owner, trace)


def _docker(owner: str) -> "DockerDriver":
    """Return a driver for the daemon that the command `docker` would use, with its logins."""
    from galaxy_engine.drivers.docker import DockerDriver, default_config, default_host  # noqa: PLC0415

    reach: Reach = "network" if sys.platform == "linux" else "published"
    credentials = default_config(os.environ)
    return DockerDriver(owner, default_host(os.environ), _NETWORK, reach=reach, credentials=credentials)


def _progress() -> "Callable[[Check], None] | None":
    if not sys.stderr.isatty():
        return None

    def show(check: "Check") -> None:
        sys.stderr.write(f"\r\x1b[K{check.id} {check.title} … " if check.id != "K44" else "\r\x1b[K")
        sys.stderr.flush()

    return show


@contextlib.contextmanager
def _runtime_dir() -> Iterator[Path]:
    """Yield a directory for the process driver's records, as long as engines may run."""
    with tempfile.TemporaryDirectory(prefix="galaxy-engine-") as directory:
        yield Path(directory)


if __name__ == "__main__":
    main()
