"""Commands under `backend admin`."""

import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from galaxy_admin.audit import AdminAuditLog
from galaxy_admin.service import AdminService
from galaxy_admin.settings import AdminSettings
from galaxy_kernel.api import Context, Problem

Username = Annotated[str, typer.Argument(help="Name of the admin.")]
FromStdin = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input.")]
Prompt = Annotated[bool, typer.Option("--ask", help="Ask for the password, without showing it.")]


def commands(context: Context[AdminSettings], service: AdminService, audit: AdminAuditLog) -> typer.Typer:
    """Return the commands. A password is asked for, read from standard input or made, and never an argument."""
    app = typer.Typer(help="Operators' accounts.", no_args_is_help=True)

    def run(
        command: str, username: str, work: Callable[[str, str], Awaitable[None]], *, from_stdin: bool, ask: bool
    ) -> None:
        password, made = _password(from_stdin=from_stdin, ask=ask)

        async def recorded() -> None:
            async with audit.recording(f"admin.{command.replace('-', '_')}", {"username": username[:200]}):
                await work(username, password)

        try:
            context.run_offline(recorded)
        except Problem as problem:
            sys.stderr.write(f"backend admin {command}: plugin 'admin', {username!r}: {problem.detail}\n")
            raise typer.Exit(1) from None
        if made:
            sys.stdout.write(f"{password}\n")

    @app.callback()
    def group() -> None:
        """Operators' accounts."""

    @app.command("create")
    def create(username: Username, from_stdin: FromStdin = False, ask: Prompt = False) -> None:
        """Create an admin, the first one too; without an option a password is made and printed.

        It must be changed at first use.
        """
        run("create", username, service.create_offline, from_stdin=from_stdin, ask=ask)

    @app.command("reset-password")
    def reset_password(username: Username, from_stdin: FromStdin = False, ask: Prompt = False) -> None:
        """Set a new password for an admin, to be changed at first use; unlock and enable the account.

        Without an option it is made and printed.
        """
        run("reset-password", username, service.reset_password, from_stdin=from_stdin, ask=ask)

    return app


def _password(*, from_stdin: bool, ask: bool) -> tuple[str, bool]:
    """Return the password, and whether it was made here."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), False
    if ask:
        given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return given, False
    return secrets.token_urlsafe(18), True
