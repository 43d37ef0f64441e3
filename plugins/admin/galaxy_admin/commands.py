"""Commands under `backend admin`."""

import secrets
import sys
from typing import Annotated

import typer

from galaxy_admin.audit import AdminAuditLog
from galaxy_admin.service import AdminService
from galaxy_admin.settings import AdminSettings
from galaxy_kernel.api import Context, Problem


def commands(context: Context[AdminSettings], service: AdminService, audit: AdminAuditLog) -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(help="Operators' accounts.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Operators' accounts."""

    @app.command("reset-password")
    def reset_password(
        username: Annotated[str, typer.Argument(help="Name of the admin.")],
        from_stdin: Annotated[bool, typer.Option("--stdin", help="Read the password from standard input.")] = False,
    ) -> None:
        """Set a new password for an admin, to be changed at first use; unlock and enable the account."""
        password = sys.stdin.readline().rstrip("\n") if from_stdin else secrets.token_urlsafe(18)

        async def work() -> None:
            async with audit.recording("admin.reset_password", {"username": username}):
                await service.reset_password(username, password)

        try:
            context.run_offline(work)
        except Problem as problem:
            sys.stderr.write(f"backend admin reset-password: plugin 'admin', {username!r}: {problem.detail}\n")
            raise typer.Exit(1) from None
        if not from_stdin:
            sys.stdout.write(f"{password}\n")

    return app
