"""Make the README's picture: `backend dev`, a real sign-in mail, its page in a headless Chromium.

.venv/bin/python tools/picture.py [docs/images/mail-page.png]
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    """Start `backend dev`, sign in, and photograph the mail page."""
    if CHROMIUM is None:
        sys.exit("tools/picture.py: no Chromium found: install Debian's package chromium")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images/mail-page.png"
    with tempfile.TemporaryDirectory(prefix="galaxy-picture-") as data:
        command = [sys.executable, "-m", "galaxy_kernel", "dev", "--data", data]
        dev = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
        try:
            banner = _banner(dev)
            commands = [line for line in banner.partition("Try it")[2].splitlines()[1:] if not re.match(r"\d\. ", line)]
            subprocess.run(["sh", "-c", "\n".join(commands)], check=True, capture_output=True)
            page = re.search(r"Mail page +(http://\S+)", banner)
            if page is None:
                sys.exit("tools/picture.py: `backend dev` names no mail page: is the mail plugin installed?")
            _shoot(page[1], target)
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(30)


def _banner(dev: "subprocess.Popen[str]") -> str:
    banner = ""
    for line in dev.stdout or ():
        banner += line
        if "/api/v1/user/account" in line:
            return banner
    sys.exit(f"tools/picture.py: `backend dev` did not come up:\n{banner}")


def _shoot(address: str, target: Path) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        tab = browser.new_page(viewport={"width": 1200, "height": 800}, color_scheme="light")
        tab.goto(address)
        tab.wait_for_selector("#list .item")
        tab.locator("#list .item").first.click()
        time.sleep(0.5)  # the mail's frame has no event that we could wait for
        target.parent.mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=str(target))
        browser.close()


if __name__ == "__main__":
    main()
