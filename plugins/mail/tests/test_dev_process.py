"""The mail sink as a process of its own."""

import asyncio
import smtplib
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from galaxy_devkit.testing.processes import process_of


async def test_what_it_accepts_is_on_its_page(tmp_path: Path) -> None:
    """It listens where it says, refuses other recipients than those it is told to accept, and ends at SIGTERM."""
    options = ("--smtp-port", "0", "--page-port", "0", "--folder", str(tmp_path), "--recipients", ".*@example.test")
    async with process_of(sys.executable, "-m", "galaxy_mail.dev", *options, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        smtp, page = (await process.stdout.readline()).decode().split()

        def send(to: str) -> None:
            with smtplib.SMTP("127.0.0.1", int(smtp.rpartition(":")[2]), timeout=30) as client:
                client.sendmail("me@example.test", [to], b"Subject: hi\r\n\r\nhi\r\n")

        await asyncio.to_thread(send, "you@example.test")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            await asyncio.to_thread(send, "you@elsewhere.test")
        assert refused.value.recipients["you@elsewhere.test"][0] == 550
        async with aiohttp.ClientSession() as client, client.get(f"{page}/api/mails") as answer:
            assert [each["to"] for each in await answer.json()] == [["you@example.test"]]
        process.terminate()
        assert await process.wait() == 0


async def test_an_expression_that_is_none_is_a_wrong_use() -> None:
    """Status 2, and the message names the option."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "galaxy_mail.dev", "--recipients", "(", stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    assert (process.returncode, b"--recipients" in said) == (2, True)
