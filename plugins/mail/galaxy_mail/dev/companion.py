"""The mail sink as a companion of the mail plugin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from galaxy_kernel.api import Companion, CompanionRun


@asynccontextmanager
async def _run(ports: dict[str, int], folder: str) -> AsyncIterator[CompanionRun]:
    # Here and not above: the manifest is imported in production, where the extra `dev` is not installed.
    from galaxy_mail.dev.page import serving_page  # noqa: PLC0415
    from galaxy_mail.dev.smtp import serving_smtp  # noqa: PLC0415
    from galaxy_mail.dev.store import MailStore  # noqa: PLC0415

    store = MailStore(Path(folder))
    await store.load()
    async with serving_smtp(store, ports["smtp"]) as smtp, serving_page(store, ports["page"], smtp_port=smtp) as page:
        yield CompanionRun(
            environment={
                "BACKEND_SMTP_HOST": "127.0.0.1",
                "BACKEND_SMTP_PORT": str(smtp),
                "BACKEND_SMTP_TLS_MODE": "none",
                "BACKEND_SMTP_FROM": "Galaxy <galaxy@localhost>",
            },
            addresses=(("Mail page", f"http://127.0.0.1:{page}"), ("SMTP", f"smtp://127.0.0.1:{smtp}")),
        )


MAIL_SINK = Companion("mail", ports={"smtp": 1025, "page": 8025}, run=_run)
"""Run the mail sink: SMTP on 1025, the page that shows the mails on 8025, both on loopback only."""
