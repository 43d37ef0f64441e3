import asyncio
import shutil
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from galaxy_mail.dev.smtp import serving_smtp
from galaxy_mail.dev.store import MailStore


@pytest.fixture
async def store(tmp_path: Path) -> MailStore:
    store = MailStore(tmp_path / "mail")
    await store.load()
    return store


@pytest.fixture
async def port(store: MailStore) -> AsyncIterator[int]:
    async with serving_smtp(store, 0) as port:
        yield port


async def send(port: int, content: bytes, to: str = "you@example.test", options: tuple[str, ...] = ()) -> None:
    def work() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.sendmail("me@example.test", [to], content, mail_options=options)

    await asyncio.to_thread(work)


async def test_takes_a_mail_to_anybody(store: MailStore, port: int) -> None:
    """A mail is stored byte for byte, whoever the recipient is."""
    await send(port, b"Subject: hi\r\n\r\n.leading dot\r\n", to="nobody@nowhere.invalid")
    (mail,) = store.mails()
    assert mail.summary.recipients == ("nobody@nowhere.invalid",)
    content = await store.read(mail.id)
    assert content is not None
    assert content.endswith(b"Subject: hi\r\n\r\n.leading dot\r\n")


async def test_takes_addresses_that_are_not_ascii(store: MailStore, port: int) -> None:
    """SMTPUTF8 is spoken (RFC 6531)."""
    message = EmailMessage()
    message["Subject"], message["To"] = "grüße", "jörg@example.test"
    await send(port, message.as_bytes(), to="jörg@example.test", options=("SMTPUTF8",))
    assert store.mails()[0].summary.recipients == ("jörg@example.test",)


async def test_takes_commands_in_one_write(store: MailStore, port: int) -> None:
    """PIPELINING is offered, and commands in one write are answered in order (RFC 2920)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"EHLO me\r\n")
    assert b"250-PIPELINING\r\n" in await reader.readuntil(b"250 HELP\r\n")
    writer.write(b"MAIL FROM:<me@example.test>\r\nRCPT nobody\r\nDATA\r\n")
    assert [(await reader.readline())[:3] for _ in range(3)] == [b"250", b"501", b"503"]
    writer.write(b"RSET\r\nMAIL FROM:<me@example.test>\r\nRCPT TO:<you@example.test>\r\nDATA\r\n")
    assert [(await reader.readline())[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
    writer.write(b"Subject: x\r\n\r\n.\r\nQUIT\r\n")
    assert [(await reader.readline())[:3] for _ in range(2)] == [b"250", b"221"]
    assert len(store.mails()) == 1
    writer.close()


async def test_takes_a_line_of_ten_megabytes(store: MailStore, port: int) -> None:
    """Neither size nor the length of lines keeps a mail from being shown."""
    await send(port, b"Subject: big\r\n\r\n" + b"x" * 10_000_000 + b"\r\n")
    assert store.mails()[0].summary.subject == "big"


async def test_disk_full_is_for_later(store: MailStore, port: int, tmp_path: Path) -> None:
    """A mail that cannot be stored is refused temporarily, so that the outbox tries again."""
    shutil.rmtree(tmp_path / "mail")
    with pytest.raises(smtplib.SMTPDataError) as caught:
        await send(port, b"Subject: x\r\n\r\n")
    assert caught.value.smtp_code == 452


async def test_stop_hangs_up(store: MailStore) -> None:
    """Open connections do not keep the server from stopping."""
    async with serving_smtp(store, 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.readline()).startswith(b"220 ")
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionResetError):
            assert not await reader.read()
            raise ConnectionResetError  # a plain end is as good
    writer.close()
