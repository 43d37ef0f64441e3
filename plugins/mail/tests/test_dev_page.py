import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from galaxy_mail.dev.page import MAIL_POLICY, MailPage, serving_page
from galaxy_mail.dev.store import MailStore

SECOND = 1_000_000_000
HOSTILE = b"""Subject: <script>alert(1)</script>\r
Content-Type: text/html; charset=utf-8\r
\r
<script>parent.location = "https://evil.test/"</script><p>hello\r
"""


@dataclass
class Time:
    now: int = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


@dataclass
class Page:
    store: MailStore
    time: Time
    port: int
    client: aiohttp.ClientSession = field(repr=False)

    async def add(self, content: bytes = b"Subject: hi\r\n\r\nhello", to: str = "you@example.test") -> str:
        return (await self.store.add("galaxy@localhost", [to], content)).id

    async def text(self, path: str, status: int = 200, **headers: str) -> str:
        async with self.client.get(path, headers=headers) as response:
            assert response.status == status, await response.text()
            return await response.text()


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    time = Time()
    store = MailStore(tmp_path, now=time)
    await store.load()
    async with (
        serving_page(store, 0, smtp_port=1025) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        yield Page(store, time, port, client)


async def test_list(page: Page) -> None:
    """The list has the newest first, each with sender, subject, time and code."""
    await page.add()
    await page.add(b"From: Galaxy <g@localhost>\r\nSubject: code\r\n\r\n1234 5678", to="b@example.test")
    async with page.client.get("/api/mails") as response:
        newest, oldest = await response.json()
    assert newest["from"] == "Galaxy <g@localhost>"
    assert (newest["to"], newest["subject"], newest["code"]) == (["b@example.test"], "code", "12345678")
    assert newest["at"] == "2027-01-15T08:00:00+00:00"
    assert oldest["code"] is None
    async with page.client.get("/api/mails", params={"to": "B@Example.test"}) as response:
        assert [mail["subject"] for mail in await response.json()] == ["code"]


async def test_show(page: Page) -> None:
    """One mail has headers, text, HTML and source; an unknown one is 404, whatever the path."""
    name = await page.add()
    async with page.client.get(f"/api/mails/{name}") as response:
        shown = await response.json()
    assert shown["text"] == "hello"
    assert shown["html"] == ""
    assert shown["source"].endswith("hello")
    assert ["Subject", "hi"] in shown["headers"]
    for path in ("/api/mails/1", "/api/mails/..%2f..%2fsecret_key", "/mails/1.html", "/mails/1.eml"):
        await page.text(path, 404)


async def test_download(page: Page) -> None:
    """The complete mail can be downloaded."""
    name = await page.add(b"Subject: big\r\n\r\n" + b"x" * 5_000_000)
    assert len(await page.text(f"/mails/{name}.eml")) > 5_000_000


async def test_delete(page: Page) -> None:
    """All mails are deleted at once."""
    await page.add()
    async with page.client.delete("/api/mails") as response:
        assert response.status == 204
    assert await page.text("/api/mails") == "[]"


async def test_html_of_a_mail_is_served_inert(page: Page) -> None:
    """A mail's HTML comes with a policy of its own: sandboxed, without scripts, loading nothing."""
    name = await page.add(HOSTILE)
    async with page.client.get(f"/mails/{name}.html") as response:
        assert response.headers["Content-Security-Policy"] == MAIL_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert MAIL_POLICY.startswith("sandbox ")
    assert "allow-scripts" not in MAIL_POLICY
    assert "default-src 'none'" in MAIL_POLICY


async def test_policy_of_the_page(page: Page) -> None:
    """Every answer, errors included, forbids inline code and foreign origins."""
    await page.add(HOSTILE)
    for path in ("/", "/static/page.js", "/api/mails", "/nothing"):
        async with page.client.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "<script>alert" not in await response.text() or response.content_type == "application/json"


async def test_page_needs_nothing_from_elsewhere(page: Page) -> None:
    """The page and its files name no URL except the namespace of SVG."""
    for path in ("/", "/static/page.js", "/static/page.css", "/static/icon.svg"):
        text = (await page.text(path)).replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|wss?://|url\([^#]|@import|[\"']//", text), path


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test:8025", "[::1].evil.test", ""]
)
async def test_other_names_are_refused(page: Page, host: str) -> None:
    """A web page that rebinds its own name to the server reads nothing."""
    await page.text("/api/mails", 403, Host=host)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9000", "[::1]:8025"])
async def test_own_names_are_served(page: Page, host: str) -> None:
    """This machine's names are served at any port, so that a forwarded one works."""
    await page.text("/api/mails", Host=host)


async def test_code_just_asked_for(page: Page) -> None:
    """The code of a mail that has just arrived is returned at once."""
    await page.add(b"Subject: a\r\n\r\n11112222")
    await page.add(b"Subject: no code\r\n\r\nhello")
    await page.add(b"Subject: b\r\n\r\n33334444", to="other@example.test")
    assert await page.text("/api/code?to=you@example.test") == "11112222\n"


async def test_code_still_under_way(page: Page) -> None:
    """With only an older code, the next one is awaited."""
    await page.add(b"Subject: old\r\n\r\n11112222")
    page.time.now += 60 * SECOND
    asking = asyncio.create_task(page.text("/api/code?to=you@example.test"))
    await asyncio.sleep(0)
    await page.add(b"Subject: new\r\n\r\n33334444")
    assert await asking == "33334444\n"


async def test_code_that_does_not_come(page: Page) -> None:
    """When no fresh one arrives, the last one is returned; without any it is 404."""
    application = MailPage(page.store, smtp_port=1, patience=0.01).application()
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/api/code"
    try:
        await page.add(b"Subject: old\r\n\r\n11112222")
        page.time.now += 60 * SECOND
        async with aiohttp.ClientSession() as client:
            async with client.get(address) as response:
                assert await response.text() == "11112222\n"
            async with client.get(address, params={"to": "nobody@example.test"}) as response:
                assert response.status == 404
    finally:
        await runner.cleanup()


async def test_events(page: Page) -> None:
    """The event stream reports changes of the list, and ends when the page stops."""
    async with page.client.get("/api/events") as response:
        assert response.content_type == "text/event-stream"
        assert await response.content.readline() == b"retry: 1000\n"
        await page.add()
        async with asyncio.timeout(5):
            while await response.content.readline() != b"event: changed\n":
                pass
            page.store.close()
            await response.content.read()


async def test_listens_on_loopback_alone(page: Page) -> None:
    """The page is bound to 127.0.0.1."""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", page.port)
    _, writer = await asyncio.open_connection("127.0.0.1", page.port)
    writer.close()
