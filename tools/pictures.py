"""Make the pictures of `docs/tour.md`, from `backend dev` and a game that is played in a headless Chromium.

.venv/bin/python tools/pictures.py [folder; docs/images if not said]
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
EMAIL = "mira@example.test"
TURNS = 6
"""Turns that are played before the picture of a game is taken."""
WEAKEST = """() => {
  const ships = (text) => Number(text.match(/, (\\d+)\\)/)?.[1] ?? 999);
  const options = [...document.querySelectorAll("#to option")];
  const foreign = options.filter(({ value, text }) => value && !text.includes("(yours"));
  return foreign.sort((one, other) => ships(one.text) - ships(other.text)).map(({ value }) => value);
}"""
_SETTLED = 0.6
"""Seconds for what has no event that we could wait for: the mail's frame, and drawings."""


def main() -> None:
    """Start `backend dev`, sign in, play, and photograph what a newcomer sees."""
    if CHROMIUM is None:
        sys.exit("tools/pictures.py: no Chromium found: install Debian's package chromium")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images"
    target.mkdir(parents=True, exist_ok=True)
    with backend() as banner, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1200, "height": 800}, color_scheme="light", locale="en-GB")
        Tour(context.new_page(), banner, target).go()
        browser.close()


@contextmanager
def backend() -> Iterator[str]:
    """Run `backend dev` with data of its own, and yield what it prints."""
    with tempfile.TemporaryDirectory(prefix="galaxy-pictures-") as data:
        command = [sys.executable, "-m", "galaxy_kernel", "dev", "--any-ports", "--data", data]
        environment = {"PATH": os.environ["PATH"], "BACKEND_LOG_LEVEL": "error"}
        dev = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            yield _banner(dev)
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(30)


class Tour:
    """One person's way, with a picture at each stop."""

    def __init__(self, tab: Any, banner: str, target: Path) -> None:
        self.tab, self.target = tab, target
        tab.set_default_timeout(30_000)
        self.page, self.mails, self.docs = (_address(banner, label) for label in ("Gateway", "Mail page", "API docs"))

    def go(self) -> None:
        """Visit every stop."""
        self.sign_in()
        self.start_a_game()
        self.play()
        self.read_mails()
        self.read_the_api()

    def sign_in(self) -> None:
        """Sign in by the code of a mail."""
        self.tab.goto(self.page)
        self.tab.fill("#email", EMAIL)
        self.shoot("tour-sign-in")
        self.tab.keyboard.press("Enter")
        self.tab.wait_for_selector("#code")
        with urllib.request.urlopen(f"{self.mails}/api/code?to={EMAIL}") as answer:
            self.tab.fill("#code", answer.read().decode().strip())
        self.tab.keyboard.press("Enter")
        self.tab.wait_for_selector("#bar nav")

    def start_a_game(self) -> None:
        """Create a game against two machine players."""
        self.tab.goto(f"{self.page}#/create")
        self.tab.wait_for_selector("#seats")  # the engine is checked first
        self.tab.get_by_label("Name", exact=True).fill("The long night")
        self.tab.fill("#seats", "3")
        self.tab.fill("#machines", "2")
        self.tab.get_by_label("Planets for each player").fill("3")
        self.shoot("tour-new-game")
        self.tab.get_by_role("button", name="Create").click()
        self.tab.wait_for_selector("#start")
        self.shoot("tour-lobby")
        self.tab.click("#start")
        self.tab.wait_for_selector("#finish")

    def play(self) -> None:
        """Play some turns, and plan the orders of the next."""
        for turn in range(TURNS + 1):
            self.tab.wait_for_selector(f"#finish[data-turn='{turn}']")
            self.attack()
            if turn < TURNS:
                self.tab.click("#finish")
        self.tab.wait_for_selector("#said:empty", state="attached")  # the message of the turn before is gone
        self.tab.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        self.tab.set_viewport_size({"width": 1280, "height": 960})
        self.shoot("page")
        self.tab.set_viewport_size({"width": 380, "height": 800})
        self.shoot("tour-phone")
        self.tab.set_viewport_size({"width": 1200, "height": 800})

    def attack(self) -> None:
        """Plan to send most ships of every planet that has some at the weakest planets of others."""
        for index in range(self.tab.locator("#from option").count()):
            self.tab.select_option("#from", index=index)
            ships = int(self.tab.get_attribute("#ships", "max") or 0)
            if ships < 5:
                continue
            targets = self.tab.evaluate(WEAKEST)
            self.tab.select_option("#to", targets[index % min(3, len(targets))])
            self.tab.fill("#ships", str(ships - 1))
            self.tab.click("#add")

    def read_mails(self) -> None:
        """Look at the mails that `backend dev` keeps."""
        self.tab.goto(self.mails)
        self.tab.locator("#list .item").first.click()
        self.shoot("mail-page")

    def read_the_api(self) -> None:
        """Look at the API's operations."""
        self.tab.goto(self.docs)
        self.tab.wait_for_selector(".opblock-tag")
        self.tab.locator(".opblock-tag", has_text="lobby").click()
        self.tab.wait_for_selector(".opblock")
        self.tab.locator(".opblock-tag", has_text="lobby").scroll_into_view_if_needed()
        self.shoot("tour-api")

    def shoot(self, name: str) -> None:
        """Write a picture of what is shown."""
        time.sleep(_SETTLED)
        self.tab.screenshot(path=str(self.target / f"{name}.png"))


def _banner(dev: "subprocess.Popen[str]") -> str:
    banner = ""
    for line in dev.stdout or ():
        banner += line
        if "/turns/0/report" in line:
            return banner
    sys.exit(f"tools/pictures.py: `backend dev` did not come up:\n{banner}")


def _address(banner: str, label: str) -> str:
    found = re.search(rf"{label} +(http://\S+)", banner)
    if found is None:
        sys.exit(f"tools/pictures.py: `backend dev` prints no address of {label}: are all plugins installed?")
    return found[1]


if __name__ == "__main__":
    main()
