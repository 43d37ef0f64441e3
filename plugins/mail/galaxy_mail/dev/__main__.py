"""The mail sink as a process of its own, for stacks of containers: `python -m galaxy_mail.dev`."""

import asyncio
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from galaxy_mail.dev.page import serving_page
from galaxy_mail.dev.smtp import serving_smtp
from galaxy_mail.dev.store import MailStore


def main(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    smtp_port: Annotated[int, typer.Option(help="For SMTP.")] = 1025,
    page_port: Annotated[int, typer.Option(help="For the page and its JSON.")] = 8025,
    folder: Annotated[
        Path | None, typer.Option(help="Where mails are kept; else they go with the process.", file_okay=False)
    ] = None,
    recipients: Annotated[
        str, typer.Option(metavar="REGEX", help="Refuse mails to all others with 550, as a server would.")
    ] = ".*",
) -> None:
    """Accept mails, deliver none, and show them on a page, until SIGTERM or Ctrl-C."""
    try:
        accepted = re.compile(recipients)
    except re.error as error:
        raise typer.BadParameter(str(error), param_hint="--recipients") from None
    with tempfile.TemporaryDirectory(prefix="galaxy-mail-") as temporary:
        asyncio.run(_serve(host, smtp_port, page_port, folder or Path(temporary), accepted))


async def _serve(host: str, smtp_port: int, page_port: int, folder: Path, recipients: re.Pattern[str]) -> None:
    store, stopped = MailStore(folder), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await store.load()
    async with (
        serving_smtp(store, smtp_port, host=host, recipients=recipients) as smtp,
        serving_page(store, page_port, smtp_port=smtp, host=host) as page,
    ):
        sys.stdout.write(f"smtp://{host}:{smtp}  http://{host}:{page}\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    typer.run(main)
