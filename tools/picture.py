"""Make the pictures of the docs: `backend dev`, a real sign-in mail, a real game, in a headless Chromium.

.venv/bin/python tools/picture.py [mail-page] [page]
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
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
TURNS = 6
"""Turns that are played before the picture of a game is taken."""
WEAKEST = """() => {
  const ships = (text) => Number(text.match(/, (\\d+)\\)/)?.[1] ?? 999);
  const options = [...document.querySelectorAll("#to option")];
  const foreign = options.filter(({ value, text }) => value && !text.includes("(yours"));
  return foreign.sort((one, other) => ships(one.text) - ships(other.text)).map(({ value }) => value);
}"""


def main() -> None:
    """Start `backend dev` and take each picture that is asked for, all of them by default."""
    if CHROMIUM is None:
        sys.exit("tools/picture.py: no Chromium found: install Debian's package chromium")
    wanted = sys.argv[1:] or list(PICTURES)
    with tempfile.TemporaryDirectory(prefix="galaxy-picture-") as data:
        command = [sys.executable, "-m", "galaxy_kernel", "dev", "--data", data, "--any-ports"]
        dev = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
        try:
            banner = _banner(dev)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                for name in wanted:
                    tab = PICTURES[name](browser, banner)
                    tab.screenshot(path=str(IMAGES / f"{name}.png"))
                browser.close()
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(30)


def _banner(dev: "subprocess.Popen[str]") -> str:
    banner = ""
    for line in dev.stdout or ():
        banner += line
        if "/turns/0/report" in line:
            return banner
    sys.exit(f"tools/picture.py: `backend dev` did not come up:\n{banner}")


def _address(banner: str, label: str) -> str:
    found = re.search(rf"{label} +(http://\S+)", banner)
    if found is None:
        sys.exit(f"tools/picture.py: `backend dev` names no {label}: is its distribution installed?")
    return found[1]


def _mail_page(browser: Browser, banner: str) -> Page:
    """Return the page of mails with a sign-in mail."""
    tab = browser.new_page(viewport={"width": 1200, "height": 800}, color_scheme="light")
    _ask_for_code(tab, banner, "ada@example.com")
    tab.goto(_address(banner, "Mail page"))
    tab.wait_for_selector("#list .item")
    tab.locator("#list .item").first.click()
    time.sleep(0.5)  # the mail's frame has no event that we could wait for
    return tab


def _page(browser: Browser, banner: str) -> Page:
    """Return the players' page with a game in progress and orders planned."""
    tab = browser.new_page(viewport={"width": 1280, "height": 960}, color_scheme="light", locale="en-GB")
    _ask_for_code(tab, banner, "mira@example.com")
    with urllib.request.urlopen(f"{_address(banner, 'Mail page')}/api/code?to=mira@example.com") as answer:
        tab.fill("#code", answer.read().decode().strip())
    tab.keyboard.press("Enter")
    _create(tab, _address(banner, "Gateway"))
    for turn in range(TURNS):
        tab.wait_for_selector(f"#finish[data-turn='{turn}']")
        _attack(tab)
        tab.click("#finish")
    tab.wait_for_selector(f"#finish[data-turn='{TURNS}']")
    _attack(tab)
    tab.wait_for_selector("#said:empty", state="attached")  # the message of the turn before is gone
    tab.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    return tab


def _ask_for_code(tab: Page, banner: str, email: str) -> None:
    tab.goto(_address(banner, "Gateway"))
    tab.fill("#email", email)
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#code")


def _create(tab: Page, page: str) -> None:
    """Name the player, and create and start a game against two machines."""
    tab.wait_for_selector("#bar nav")
    tab.goto(f"{page}#/account")
    tab.fill("#display-name", "Mira")
    tab.get_by_role("button", name="Save").click()
    tab.wait_for_selector("#bar a:has-text('Mira')")
    tab.goto(f"{page}#/create")
    tab.wait_for_selector("#seats", timeout=60_000)  # the engine is checked first
    for field, value in {"#name": "Orion Arm", "#seats": "3", "#machines": "2"}.items():
        tab.fill(field, value)
    tab.get_by_role("button", name="Create").click()
    tab.click("#start")


def _attack(tab: Page) -> None:
    """Plan to send most ships of every planet that has some at the weakest planets."""
    for index in range(tab.locator("#from option").count()):
        tab.select_option("#from", index=index)
        ships = int(tab.get_attribute("#ships", "max") or 0)
        if ships < 5:
            continue
        targets = tab.evaluate(WEAKEST)
        tab.select_option("#to", targets[index % min(3, len(targets))])
        tab.fill("#ships", str(ships - 1))
        tab.click("#add")


PICTURES: dict[str, Callable[[Browser, str], Page]] = {"mail-page": _mail_page, "page": _page}

if __name__ == "__main__":
    main()
