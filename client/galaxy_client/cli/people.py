"""`galaxy sign-in` and `sign-out`."""

import platform
from typing import Annotated

import typer

from galaxy_client import Galaxy
from galaxy_client.cli import tokens
from galaxy_client.cli.failures import CommandError
from galaxy_client.cli.output import local, note, say, word
from galaxy_client.cli.session import Insecure, Server, ask, place, remember, run
from galaxy_client.models import Challenge


def sign_in(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Where the code is sent.")],
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Sign in by a code from a mail. The session is kept for the next commands, and the server remembered."""
    run(_sign_in(email, server, insecure))


def sign_out(server: Server = None, insecure: Insecure = False) -> None:
    """End the session on the server, and forget it here."""
    run(_sign_out(server, insecure))


async def _sign_in(email: str, server: str | None, insecure: bool) -> None:
    chosen = place(server, insecure)
    async with Galaxy(chosen.address, allow_insecure=chosen.insecure) as galaxy:
        signed_in = await galaxy.sign_in(
            email, _ask_code, device_name=f"galaxy on {platform.node() or 'a machine'}"[:80]
        )
        where = tokens.save(chosen.address, signed_in.session_token)
    remember(chosen)
    say(f"Signed in to {chosen.address} as {word(signed_in.account.display_name)}. The session is kept in {where}.")


def _ask_code(challenge: Challenge) -> str:
    if challenge.attempt == 1:
        note(f"A code is on its way to {challenge.email}; it is good until {local(challenge.expires_at)}.")
    else:
        note("That code is wrong.")
    try:
        return ask("Code: ")
    except EOFError:
        raise CommandError("no code was entered.", "Sign in again: galaxy sign-in EMAIL") from None


async def _sign_out(server: str | None, insecure: bool) -> None:
    chosen = place(server, insecure)
    token = tokens.load(chosen.address)
    if token is None:
        say(f"You are not signed in to {chosen.address}.")
        return
    async with Galaxy(chosen.address, token, allow_insecure=chosen.insecure) as galaxy:
        await galaxy.sign_out()
    tokens.forget(chosen.address)
    say(f"Signed out of {chosen.address}.")
