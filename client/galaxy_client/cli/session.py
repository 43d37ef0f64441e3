"""What every command begins with: the server, the token, the client; and how it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from galaxy_client import Galaxy, GalaxyError
from galaxy_client.addresses import base_address
from galaxy_client.cli import files, tokens
from galaxy_client.cli.failures import BROKEN_PIPE, INTERRUPTED, SIGNED_OUT, USAGE, CommandError, explained
from galaxy_client.cli.output import complain, note

Server = Annotated[
    str | None,
    typer.Option("--server", envvar="GALAXY_SERVER", metavar="URL", help="The server; else the last one signed in to."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Allow plain http to another machine: others may read the session token.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class Place:
    """A server's address, checked."""

    address: str
    insecure: bool


def place(server: str | None, insecure: bool) -> Place:
    """Return the server to use: the one given, or the one remembered. Raise CommandError."""
    remembered = files.read(_remembered(), secret=False)
    remembered = remembered if isinstance(remembered, dict) else {}
    chosen = server or str(remembered.get("server", ""))
    if not chosen:
        raise CommandError(
            "no server is known yet.", "Name it: galaxy sign-in YOU@EXAMPLE.ORG --server https://…", status=USAGE
        )
    insecure = insecure or (chosen == remembered.get("server") and remembered.get("insecure") is True)
    try:
        return Place(str(base_address(chosen, allow_insecure=insecure)), insecure)
    except ValueError as error:
        raise CommandError(str(error), status=USAGE) from None


def remember(chosen: Place) -> None:
    """Use this server from now on, where none is named."""
    files.write(_remembered(), {"server": chosen.address, "insecure": chosen.insecure})


@asynccontextmanager
async def signed_in(server: str | None, insecure: bool) -> AsyncIterator[Galaxy]:
    """Hand over a client with the session that is kept for the server. Raise CommandError without one."""
    chosen = place(server, insecure)
    token = tokens.load(chosen.address)
    if token is None:
        raise CommandError(
            f"you are not signed in to {chosen.address}.", "Sign in: galaxy sign-in EMAIL", status=SIGNED_OUT
        )
    async with Galaxy(chosen.address, token, allow_insecure=chosen.insecure) as galaxy:
        yield galaxy


def run(command: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end, whatever that is."""
    try:
        asyncio.run(command)
        sys.stdout.flush()
    except GalaxyError as error:
        _end(explained(error))
    except CommandError as error:
        _end(error)
    except KeyboardInterrupt:
        note("")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Python flushes stdout when it ends, and would complain again: https://docs.python.org/3/library/signal.html
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None


def ask(prompt: str) -> str:
    """Return a line that a person enters, with the prompt on a terminal alone. Raise EOFError at the end of input.

    asyncio answers Ctrl-C by cancelling the task, which cannot happen while it waits here: so Ctrl-C interrupts.
    """
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if sys.stdin.isatty():
            sys.stderr.write(prompt)
            sys.stderr.flush()
        line = sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, former)
    if not line:
        raise EOFError
    return line.strip()


def _end(error: CommandError) -> NoReturn:
    complain(error)
    raise typer.Exit(error.status) from None


def _remembered() -> Path:
    return files.folder() / "server.json"
