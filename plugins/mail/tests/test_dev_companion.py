import asyncio
import smtplib
import subprocess
import sys
from pathlib import Path

import aiohttp

from galaxy_mail.dev.companion import MAIL_SINK
from galaxy_mail.plugin import MailPlugin
from galaxy_mail.settings import SmtpSettings

WITHOUT_EXTRA = "import sys; sys.modules['aiosmtpd'] = None; import galaxy_mail.plugin"


def test_manifest_needs_no_extra() -> None:
    """In production, without the extra `dev`, the plugin is still importable and lists its companion."""
    subprocess.run([sys.executable, "-c", WITHOUT_EXTRA], check=True)
    assert MailPlugin.manifest.companions == (MAIL_SINK,)


async def test_tells_the_backend_where_it_is(tmp_path: Path) -> None:
    """Its variables for the backend are valid settings, and a mail sent by them appears on the page."""
    async with MAIL_SINK.run({"smtp": 0, "page": 0}, str(tmp_path / "mail")) as run:
        fields = {name.removeprefix("BACKEND_SMTP_").lower(): value for name, value in run.environment.items()}
        settings = SmtpSettings.model_validate({"from_" if name == "from" else name: fields[name] for name in fields})

        def send() -> None:
            with smtplib.SMTP(settings.host, settings.relay_port) as client:
                client.sendmail(settings.sender.addr_spec, ["you@example.test"], b"Subject: hi\r\n\r\n")

        await asyncio.to_thread(send)
        async with aiohttp.ClientSession() as client, client.get(f"{run.addresses[0][1]}/api/mails") as response:
            assert [mail["subject"] for mail in await response.json()] == ["hi"]
