"""Commands under `backend admin`."""

import secrets
import sys
from typing import Annotated

import typer

from galaxy_admin import queries
from galaxy_admin.domain import Outcome
from galaxy_admin.service import AdminService
from galaxy_admin.settings import AdminSettings
from galaxy_kernel.api import Context, Problem, new_id, request_id


def commands(context: Context[AdminSettings], service: AdminService) -> typer.Typer:
    """Give the commands."""
    app = typer.Typer(help="Operators' accounts.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Operators' accounts."""

    @app.command("reset-password")
    def reset_password(
        username: Annotated[str, typer.Argument(help="Name of the admin.")],
        from_stdin: Annotated[bool, typer.Option("--stdin", help="Read the password instead of making one.")] = False,
    ) -> None:
        """Give an admin a new password, to be changed at first use; unlocks and enables the account."""
        password = sys.stdin.readline().rstrip("\n") if from_stdin else secrets.token_urlsafe(18)

        async def work() -> None:
            entry = new_id()
            async with context.database.transaction() as connection:
                await queries.begin_audit(
                    connection, entry, at=context.clock.now(), admin_id=None, username="(command line)",
                    action="admin.reset_password", target={"username": username}, request_id=request_id(),
                )  # fmt: skip
            outcome: Outcome = "failed"
            try:
                await service.reset_password(username, password)
                outcome = "done"
            except Problem:
                outcome = "refused"
                raise
            finally:
                async with context.database.transaction() as connection:
                    await queries.finish_audit(connection, entry, outcome, None, context.clock.now())

        try:
            context.run_offline(work)
        except Problem as problem:
            sys.stderr.write(f"backend admin reset-password: plugin 'admin', {username!r}: {problem.detail}\n")
            raise typer.Exit(1) from None
        if not from_stdin:
            sys.stdout.write(f"{password}\n")

    return app
