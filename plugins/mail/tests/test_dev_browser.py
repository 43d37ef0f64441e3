"""The page in a real browser."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from galaxy_mail.dev.page import serving_page
from galaxy_mail.dev.store import MailStore

playwright = pytest.importorskip("playwright.async_api", reason="the package playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),  # the browser's
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt-get install chromium"),
]

HOSTILE = """\
<!doctype html><html><head><meta http-equiv="refresh" content="0; url={evil}/refresh"></head>
<body onload="parent.document.title='run'"><h1 id="heading" style="color: rgb(1, 2, 3)">Hello</h1>
<script>document.title = 'run'; parent.postMessage('run', '*'); top.document.title = 'run'</script>
<img src="{evil}/pixel.png" onerror="top.document.title='run'"><svg onload="top.document.title='run'"></svg>
<link rel="preconnect" href="{evil}"><link rel="prefetch" href="{evil}/p">
<link rel="stylesheet" href="{evil}/a.css"><iframe src="{evil}/frame"></iframe>
<a id="script" href="javascript:top.document.title='run'">click</a>
<a id="inside" target="_self" href="{evil}/inside">click</a>
<a id="top" target="_top" href="{evil}/top">click</a>
<form id="form" action="{evil}/form"><button id="submit">send</button></form>
</body></html>"""


class Opened:
    """The page in the browser, and the store behind it."""

    def __init__(self, store: MailStore, tab: Any, address: str) -> None:
        self.store, self.tab, self.address = store, tab, address
        self.errors: list[str] = []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))

    async def open(self) -> None:
        await self.tab.goto(self.address)
        await self.tab.wait_for_selector("#live.on", state="attached")  # a narrow page does not show it

    async def add(self, subject: str, text: str = "hello", html: str = "") -> None:
        message = EmailMessage()
        message["Subject"] = subject
        message.set_content(text)
        if html:
            message.add_alternative(html, subtype="html")
        await self.store.add("galaxy@localhost", ["you@example.test"], message.as_bytes())

    async def subjects(self) -> list[str]:
        texts: list[str] = await self.tab.locator("#list .item b").all_inner_texts()
        return texts

    async def shows(self, selector: str, text: str) -> None:
        await playwright.expect(self.tab.locator(selector)).to_have_text(text)


class Evil:
    """A server that no mail must reach."""

    address = ""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[bytes] = []

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        line = await reader.readline()  # none on the connections that Chromium opens on the chance of a click
        self.requests += [line] if line else []
        writer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def evil() -> AsyncIterator[Evil]:
    evil = Evil()
    async with await asyncio.start_server(evil.visit, "127.0.0.1", 0) as server:
        evil.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield evil


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """One browser for all tests here."""
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def opened(browser: Any, tmp_path: Path) -> AsyncIterator[Opened]:
    store = MailStore(tmp_path)
    await store.load()
    async with serving_page(store, 0, smtp_port=1025) as port:
        context = await browser.new_context()
        address = f"http://127.0.0.1:{port}"
        await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        opened = Opened(store, await context.new_page(), address)
        yield opened
        assert not opened.errors
        await context.close()


async def test_mail_appears_without_reload(opened: Opened) -> None:
    """The empty page says what to do; the first mail is listed and shown, a second one is listed."""
    await opened.open()
    await opened.shows("#empty h1", "No mail yet")
    await opened.add("first", "the text of it")
    await opened.shows("#subject", "first")
    await opened.shows("#pane-text", "the text of it\n")
    await opened.add("second")
    await opened.tab.wait_for_selector("#list .item:nth-child(2)")
    assert await opened.subjects() == ["second", "first"]
    await opened.shows("#subject", "first")
    assert await opened.tab.title() == "(1) Galaxy mail"


async def test_code_is_copied(opened: Opened) -> None:
    """A code is shown large; the button and the key `c` copy its eight digits to the clipboard."""
    await opened.add("Your sign-in code", "Your code is 1234 5678.")
    await opened.open()
    await opened.shows("#digits", "1234 5678")
    await opened.tab.click("#copy")
    await opened.shows("#copy", "Copied")
    assert await opened.tab.evaluate("navigator.clipboard.readText()") == "12345678"
    await opened.tab.evaluate("navigator.clipboard.writeText('')")
    await opened.tab.locator("#list").press("c")
    await opened.tab.wait_for_function("navigator.clipboard.readText().then((text) => text === '12345678')")


async def test_hostile_mail_does_nothing(opened: Opened, evil: Evil) -> None:
    """A mail's scripts, refreshes, frames, forms and pictures neither run nor load, whatever is clicked in it."""
    html = HOSTILE.replace("{evil}", evil.address)
    await opened.add("<img src=x onerror=\"document.title='run'\">", "<script>document.title='run'</script>", html)
    frame = opened.tab.frame_locator("#pane-html")
    await opened.open()
    await playwright.expect(frame.locator("#heading")).to_be_visible()
    assert evil.connections == 0
    for clicked in ("script", "inside", "top", "submit"):
        await opened.open()
        await playwright.expect(frame.locator("#heading")).to_have_css("color", "rgb(1, 2, 3)")
        await frame.locator(f"#{clicked}").click(no_wait_after=True)
    await opened.open()
    await opened.tab.click("#tab-text")
    await opened.shows("#pane-text", "<script>document.title='run'</script>\n")
    assert await opened.tab.title() == "Galaxy mail"
    assert await opened.tab.locator("main img[src=x]").count() == 0
    assert opened.tab.url.startswith(opened.address)
    assert evil.requests == []


async def test_keys(opened: Opened) -> None:
    """Arrows choose a mail, digits a pane, the slash searches, and Escape leaves the search."""
    for subject in ("one", "two", "three"):
        await opened.add(subject, html="<p>hi</p>")
    await opened.open()
    await opened.shows("#subject", "three")
    await opened.tab.keyboard.press("ArrowDown")
    await opened.shows("#subject", "two")
    await opened.tab.keyboard.press("3")
    await playwright.expect(opened.tab.locator("#pane-source")).to_contain_text("Subject: two")
    await opened.tab.keyboard.press("/")
    await opened.tab.keyboard.type("one")
    assert await opened.subjects() == ["one"]
    await opened.tab.keyboard.press("Enter")
    await opened.shows("#subject", "one")
    await opened.tab.keyboard.press("/")
    await opened.tab.keyboard.press("Escape")
    assert await opened.subjects() == ["three", "two", "one"]


async def test_delete_all_asks_first(opened: Opened) -> None:
    """Deleting takes two clicks, and the page is empty then, in other tabs too."""
    await opened.add("gone")
    await opened.open()
    await opened.shows("#subject", "gone")
    await opened.tab.click("#clear")
    await opened.shows("#clear", "Really delete 1?")
    assert opened.store.mails()
    await opened.tab.click("#clear")
    await opened.tab.wait_for_selector("#empty:not([hidden])")
    assert not opened.store.mails()


async def test_nothing_overflows_on_a_narrow_screen(opened: Opened) -> None:
    """At 320 px, empty, as a list and reading, whatever is in the mail, the page is as wide as the screen."""

    async def check() -> None:
        overflowing = await opened.tab.evaluate(
            """() => [...document.querySelectorAll("body, body *")].filter((each) => each.checkVisibility()
                && !each.closest("pre") && !each.classList.contains("hidden")
                && each.getBoundingClientRect().right > innerWidth + 0.5).map((each) => each.outerHTML.slice(0, 80))"""
        )
        assert overflowing == []
        assert await opened.tab.evaluate("document.documentElement.scrollWidth") == 320

    await opened.tab.set_viewport_size({"width": 320, "height": 640})
    await opened.open()
    await opened.shows("#empty h1", "No mail yet")
    await check()
    await opened.add("Code " + "x" * 200, "Your code is 1234 5678. " + "y" * 500, html="<p>hi</p>")
    await opened.tab.wait_for_selector("#list .item >> visible=true")
    await check()
    await opened.tab.click("#list .item")
    await opened.shows("#digits", "1234 5678")
    await playwright.expect(opened.tab.locator("#copy")).to_be_visible()
    await playwright.expect(opened.tab.locator("#download")).to_be_visible()
    await check()
