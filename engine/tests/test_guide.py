"""docs/writing-an-engine.md: its code is that of the examples, its dialogue is what they say, its figures hold."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_engine import limits

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "engine/examples"
PAGE = (ROOT / "docs/writing-an-engine.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("language", "example"), [("python", "python/auction.py"), ("js", "node/nim.mjs")])
def test_code(language: str, example: str) -> None:
    """The blocks of a language, one after the other, are the example, whole."""
    assert lines("".join(blocks(language))) == lines((EXAMPLES / example).read_text("utf-8"))


def test_dockerfiles() -> None:
    """The images on the page are those of the examples."""
    assert blocks("dockerfile") == [(EXAMPLES / name / "Dockerfile").read_text("utf-8") for name in ("python", "node")]


def test_ten_rules() -> None:
    """The page begins with ten rules."""
    rules = PAGE.partition("## The ten rules")[2].partition("\n## ")[0]
    assert re.findall(r"^(\d+)\. ", rules, flags=re.MULTILINE) == [str(number) for number in range(1, 11)]


@pytest.fixture
def auction() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if key != "GALAXY_TOKEN"} | {"PORT": str(port)}
    with subprocess.Popen([sys.executable, str(EXAMPLES / "python/auction.py")], env=environment) as process:
        address = f"127.0.0.1:{port}"
        try:
            wait_for(address)
            yield address
        finally:
            process.terminate()


def wait_for(address: str) -> None:
    give_up = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/healthz", timeout=5):
                return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def test_dialogue(auction: str) -> None:
    """The calls on the page, made one after the other, are answered as the page says."""
    dialogue = [(language, text) for language, text in BLOCKS if language == "json" or text.startswith("curl -s ")]
    answer: object = None
    checked = 0
    for language, text in dialogue:
        if language == "json":
            assert answer == json.loads(text)
            checked += 1
            continue
        call = re.fullmatch(r"curl -s localhost:8080(/\S+) -d '(.*)'\n", text)
        assert call, text
        request = urllib.request.Request(f"http://{auction}{call[1]}", call[2].encode())
        with urllib.request.urlopen(request, timeout=5) as response:
            answer = json.load(response)
    assert checked == 3


@pytest.mark.slow
def test_failure(tmp_path: Path) -> None:
    """With chance in `draw`, the kit says what the page says it does."""
    source = (EXAMPLES / "python/auction.py").read_text("utf-8")
    broken = re.sub(
        r"(?m)^    return 1 \+ int\.from_bytes.*$", "    import random; return random.randint(100, 999)", source
    )
    assert broken != source
    engine = tmp_path / "auction.py"
    engine.write_text(broken, "utf-8")
    engine.chmod(0o755)
    kit = Path(sys.executable).with_name("galaxy-engine")
    done = subprocess.run([kit, "check", "--only", "K07", engine], capture_output=True, text=True, check=False)
    assert done.returncode == 1

    def without_digits(text: str) -> str:
        return re.sub(r"table: \d+", "table: N", text)

    (told,) = blocks("text")
    assert without_digits(told) in without_digits(done.stdout)


def test_figures() -> None:
    """The limits and times on the page are those of the client that enforces them."""
    mib, kib, times = 1024 * 1024, 1024, limits.CallTimes()
    for row in (
        f"| `state` | {limits.STATE_BYTES // mib} MiB of JSON |",
        f"| a report; all reports of a position | {limits.REPORT_BYTES // mib} MiB; "
        f"{limits.REPORTS_BYTES // mib} MiB |",
        f"| a seat's orders | {limits.ORDERS_BYTES // kib} KiB and {limits.ORDERS_COUNT:,} orders |",
        f"| the answer of `options`; of `describe` | {limits.OPTIONS_BYTES // mib} MiB; "
        f"{limits.DESCRIBE_BYTES // kib} KiB |",
        f"| `/healthz` | {times.health:g} s |",
        f"| `describe`, `orders`, `validate`, `options`, `suggest` | {times.order:g} s |",
        f"| `PUT /v1/state` | {times.state:g} s |",
        f"| `init`, `turns` | {times.turn:g} s |",
    ):
        assert row in PAGE
    assert times.describe == times.order


def test_links() -> None:
    """Links to files lead somewhere."""
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    targets = re.findall(r"\]\((?!http)([^)#]+)", prose)
    assert targets
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target
