"""The players' page in a real browser, before `backend dev` as a newcomer runs it."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

playwright = pytest.importorskip("playwright.async_api", reason="the package playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 640}
GAME_OVER = "#result"
_MOST_TURNS = 11

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt-get install chromium"),
]


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, tab: Any, page: str, mails: str) -> None:
        self.tab, self.page, self.mails = tab, page, mails
        self.errors: list[str] = []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        tab.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))

    async def sign_in(self, email: str) -> None:
        await self.tab.goto(self.page)
        await self.tab.fill("#email", email)
        await self.tab.keyboard.press("Enter")
        await self.tab.wait_for_selector("#code")
        async with aiohttp.ClientSession() as http, http.get(f"{self.mails}/api/code", params={"to": email}) as answer:
            await self.tab.fill("#code", (await answer.text()).strip())
        await self.tab.keyboard.press("Enter")
        await self.tab.wait_for_selector("#bar nav")

    async def create(self, *, seats: int, machines: int, public: bool = False) -> None:
        """Create a game on three planets a player and of ten turns; its lobby is shown afterwards."""
        await self.tab.goto(f"{self.page}#/create")
        await self.tab.wait_for_selector("#seats", timeout=60_000)  # the engine is checked first
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

    async def send_to(self, target: str) -> None:
        """Choose where all ships of the chosen planet go to, and add the order."""
        await self.tab.select_option("#to", target)
        await self.tab.click("#add")
        await self.tab.wait_for_selector(".plan li")

    async def widest(self) -> tuple[int, int]:
        """Return the width of the document and of the window."""
        width, window = await self.tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return int(width), int(window)

    def expected(self, pattern: str) -> None:
        """Forget errors of the console that a test causes on purpose."""
        self.errors = [each for each in self.errors if not re.search(pattern, each)]


@asynccontextmanager
async def backend(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Run `backend dev` on free ports; yield the addresses of the page and of the mails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "galaxy_kernel", "dev", "--any-ports", "--data", str(folder)),
        env={"PATH": os.environ["PATH"], "BACKEND_LOG_LEVEL": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    banner = ""
    try:
        async with asyncio.timeout(60):
            while "/turns/0/report" not in banner:
                line = await process.stdout.readline()
                assert line, banner
                banner += line.decode()
        yield _address(banner, "Gateway"), _address(banner, "Mail page")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _address(banner: str, label: str) -> str:
    found = re.search(rf"{label} +(http://\S+)", banner)
    assert found is not None, banner
    return found[1]


@asynccontextmanager
async def people(page: str, mails: str, *sizes: dict[str, int], **context: Any) -> AsyncIterator[list[Person]]:
    """Open a browser with a person for each size; afterwards none of them may have met an error."""
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            persons = []
            for size in sizes:
                opened = await browser.new_context(viewport=size, locale="en-GB", **context)
                opened.set_default_timeout(15_000)
                persons.append(Person(await opened.new_page(), page, mails))
            yield persons
            for person in persons:
                person.expected(r"status of 401")  # before the sign-in, the page asks who is signed in
                person.expected(r"status of 409")  # what it asks while a turn is run
                assert person.errors == []
        finally:
            await browser.close()


async def planets(person: Person) -> list[dict[str, str]]:
    """Return the planets that may be sent to, as the form lists them."""
    script = "[...document.querySelectorAll('#to option')].slice(1).map(({value, text}) => ({value, text}))"
    return list(await person.tab.evaluate(script))


def weakest(found: list[dict[str, str]], mine: str = "yours") -> str:
    """Return the number of the planet with the fewest ships that is not one's own; any, if there is none."""
    foreign = [each for each in found if f"({mine}," not in each["text"]] or found

    def ships(each: dict[str, str]) -> int:
        count = re.search(r", (\d+)\)", each["text"])
        assert count is not None
        return int(count[1])

    return min(foreign, key=ships)["value"]


async def can_send(person: Person) -> bool:
    """Return whether the chosen planet has ships."""
    return await person.tab.locator("#from").count() > 0 and not str(
        await person.tab.locator("#from option:checked").inner_text()
    ).endswith("(0)")


async def play(person: Person) -> int:
    """Send a planet's ships at the weakest one, turn by turn, until the game is over; return the last turn."""
    for turn in range(_MOST_TURNS):
        await person.tab.wait_for_selector(f"{GAME_OVER}, #finish[data-turn='{turn}']")
        if await person.tab.locator(GAME_OVER).count():
            return turn
        if await can_send(person):
            await person.send_to(weakest(await planets(person)))
        await person.tab.click("#finish")
    raise AssertionError("the game did not end")


async def test_a_whole_game_on_a_phone(tmp_path: Path) -> None:
    """One person plays two machines from the sign-in to the result, 320 px wide, without an error or a violation."""
    async with backend(tmp_path / "data") as (page, mails), people(page, mails, NARROW) as [ada]:
        await ada.sign_in("ada@example.test")
        await ada.create(seats=3, machines=2)
        await ada.start()
        assert await ada.tab.locator(".planet").count() >= 2
        width, window = await ada.widest()
        assert width <= window
        assert await play(ada) > 0
        text = await ada.tab.inner_text(GAME_OVER)
        assert "Winner:" in text
        await ada.tab.goto(page)
        await playwright.expect(ada.tab.locator("h2", has_text="Ended")).to_be_visible()


async def test_two_people_and_a_session_that_ends(tmp_path: Path) -> None:
    """Bob plays Ada's public game without a map, live; a lost connection heals; the end of a session is seen."""
    async with backend(tmp_path / "data") as (page, mails), people(page, mails, WIDE, WIDE, WIDE) as [ada, bob, again]:
        await ada.sign_in("ada@example.test")
        await bob.sign_in("bob@example.test")
        await bob.tab.route("**/games/galaxy.js", lambda route: route.abort())
        await ada.create(seats=2, machines=0, public=True)
        await bob.tab.goto(f"{page}#/open")
        await bob.tab.locator(".game").click()
        await bob.tab.click("#join")
        await ada.start()
        await bob.tab.wait_for_selector("#finish[data-turn='0']")
        await ada.tab.click("#finish")
        await bob.tab.click("#add-legal")
        await bob.tab.wait_for_selector(".plan li")
        await bob.tab.click("#send")
        await playwright.expect(bob.tab.locator("#plan-state")).to_have_text("Sent")
        await bob.tab.click("#finish")
        for person in (ada, bob):
            await person.tab.wait_for_selector("#finish[data-turn='1']")
        await again.tab.context.add_cookies(await ada.tab.context.cookies())
        await again.tab.route("**/api/v1/user/events", lambda route: route.abort())
        await again.tab.goto(page)
        lost = again.tab.locator("#connection")
        await playwright.expect(lost).to_have_text("Connection lost. Trying again …")
        await again.tab.unroute("**/api/v1/user/events")
        await playwright.expect(lost).to_be_hidden(timeout=20_000)
        await ada.tab.goto(f"{page}#/account")
        await ada.tab.click("#sign-out")
        for person in (ada, again):
            await person.tab.wait_for_selector("#email")
        for person in (bob, again):
            person.expected(r"ERR_FAILED")
