"""People with browsers of their own, before `backend dev` as a newcomer runs it."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

playwright = pytest.importorskip("playwright.async_api", reason="the package playwright is not installed")
playwright.expect.set_options(timeout=20_000)  # the backend, its engines and browsers share two cores
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MARKS = [
    pytest.mark.asyncio(loop_scope="module"),  # the browser's
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt-get install chromium"),
]
"""Of every test in which people have browsers."""
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 640}
READY = "/turns/0/report"
"""In the last line of the banner of `backend dev`."""
STARTED = 60
"""Seconds until which everything must be up."""


class Backend:
    """A run of `backend dev`."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start it on free ports, and wait until it is up."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "galaxy_kernel", "dev", "--any-ports", "--data", str(folder)],
            env={"PATH": os.environ["PATH"], "BACKEND_LOG_LEVEL": "error", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        overdue = threading.Timer(STARTED, self._process.kill)
        overdue.start()
        banner = ""
        while READY not in banner:
            line = self._process.stdout.readline() if self._process.stdout is not None else ""
            assert line, banner
            banner += line
        overdue.cancel()
        self.page, self.mails = _address(banner, "Gateway"), _address(banner, "Mail page")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and wait for its end."""
        self._process.send_signal(number)
        self._process.communicate()


def _address(banner: str, label: str) -> str:
    found = re.search(rf"{label} +(http://\S+)", banner)
    assert found is not None, banner
    return found[1]


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, tab: Any, backend: Backend) -> None:
        self.tab, self.page, self.mails = tab, backend.page, backend.mails
        self.errors: list[str] = []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        tab.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))

    async def goto(self, address: str) -> None:
        """Go to an address.

        Chromium drops what it is loading when an interface of the machine comes or goes, as those of containers do in
        other tests. The page tries again by itself; a navigation does not.
        """
        for tries in range(5):
            try:
                await self.tab.goto(address)
            except playwright.Error as error:
                if "ERR_NETWORK_CHANGED" not in str(error) or tries == 4:
                    raise
            else:
                return

    async def sign_in(self, email: str) -> None:
        await self.goto(self.page)
        await self.tab.fill("#email", email)
        await self.tab.keyboard.press("Enter")
        await self.tab.wait_for_selector("#code")
        async with aiohttp.ClientSession() as http, http.get(f"{self.mails}/api/code", params={"to": email}) as answer:
            await self.tab.fill("#code", (await answer.text()).strip())
        await self.tab.keyboard.press("Enter")
        await self.tab.wait_for_selector("#bar nav a[href='#/account']")

    async def open(self, view: str, selector: str, **wanted: Any) -> None:
        """Go to a view, and wait for what it shows."""
        await self.goto(f"{self.page}#/{view}")
        await self.tab.wait_for_selector(selector, **wanted)

    async def create(self, *, seats: int, machines: int, public: bool = False, name: str = "Vega") -> None:
        """Create a game on three planets a player and of ten turns; its lobby is shown afterwards."""
        await self.goto(f"{self.page}#/create")
        await self.tab.wait_for_selector("#seats", timeout=60_000)  # the engine is checked first
        await self.tab.fill("#name", name)
        await self.tab.fill("#seats", str(seats))
        await self.tab.fill("#machines", str(machines))
        await self.tab.get_by_label("Planets for each player").fill("3")
        await self.tab.get_by_label("The last turn").fill("10")
        if public:
            await self.tab.select_option("#visibility", "public")
        await self.tab.get_by_role("button", name="Create").click()
        await self.tab.wait_for_selector("#state")

    async def start(self) -> None:
        await self.tab.click("#start")
        await self.tab.wait_for_selector("#finish", timeout=30_000)

    @property
    def game(self) -> str:
        """The id of the game that is shown."""
        return str(self.tab.url.rpartition("/")[2])

    async def send_to(self, target: str) -> None:
        """Choose where all ships of the chosen planet go to, and add the order."""
        await self.tab.select_option("#to", target)
        await self.tab.click("#add")
        await self.tab.wait_for_selector(".plan li")

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.tab.keyboard.press(key)

    async def tab_to(self, selector: str) -> None:
        """Press Tab until what has the focus matches a selector."""
        for _ in range(80):
            await self.tab.keyboard.press("Tab")
            if await self.tab.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    async def widest(self) -> tuple[int, int]:
        """Return the width of the document and of the window."""
        width, window = await self.tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return int(width), int(window)

    def expected(self, pattern: str) -> None:
        """Forget errors of the console that a test causes on purpose."""
        self.errors = [each for each in self.errors if not re.search(pattern, each)]


@asynccontextmanager
async def browsers() -> AsyncIterator[Any]:
    """Start a browser, in which everybody has a context of their own."""
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def people(browser: Any, backend: Backend, *sizes: dict[str, int], **context: Any) -> AsyncIterator[list[Person]]:
    """Open the page for a person of each size; afterwards none of them may have met an error."""
    async with AsyncExitStack() as contexts:
        persons = []
        for size in sizes:
            opened = await browser.new_context(**{"viewport": size, "locale": "en-GB", **context})
            contexts.push_async_callback(opened.close)
            opened.set_default_timeout(30_000)
            persons.append(Person(await opened.new_page(), backend))
        yield persons
        for person in persons:
            person.expected(r"status of 401")  # before the sign-in, the page asks who is signed in
            person.expected(r"status of 409")  # what it asks while a turn is run
            person.expected(r"ERR_NETWORK_CHANGED")  # see `goto`
            assert person.errors == [], person.errors
