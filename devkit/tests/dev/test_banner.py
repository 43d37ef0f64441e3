"""What `backend dev` prints once it is ready."""

import io
from typing import IO

import pytest

from galaxy_devkit.dev.banner import Banner, filled, wants_colours
from galaxy_kernel.core.companions import DevExample


def test_examples_name_addresses() -> None:
    """Addresses are filled in, JSON and shell are left alone, and an example without its address is left out."""
    command = """curl {api}/x -d '{"a": 1}' "${HOME}" | awk '{print}'"""
    examples = [DevExample("At {mail}:", command), DevExample("Elsewhere:", "curl {nowhere}")]
    (example,) = filled(examples, {"api": "http://a", "mail": "http://m", "print": "{print}"})
    assert example.title == "At http://m:"
    assert example.command == """curl http://a/x -d '{"a": 1}' "${HOME}" | awk '{print}'"""


def test_banner() -> None:
    """Commands are unbroken at the margin, in colours only where requested."""
    banner = Banner(
        [("API", "http://a"), ("Mail page", "http://m")], ["Port 1 is taken."], [DevExample("Ask:", "x" * 300)]
    )
    plain, coloured = banner.render(colours=False), banner.render(colours=True)
    assert "\n" + "x" * 300 + "\n" in plain
    assert "  API        http://a\n" in plain
    assert "\033" not in plain
    assert "\033[36mhttp://a\033[0m" in coloured


def test_what_is_not_there_is_not_shown() -> None:
    """Without notes and examples there is no heading for them."""
    shown = Banner([("API", "http://a")], [], []).render(colours=False)
    assert "Try it" not in shown
    assert shown.splitlines()[-2] == "  API  http://a"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "coloured"),
    [(Terminal(), "", True), (Terminal(), "1", False), (io.StringIO(), "", False)],
    ids=["terminal", "NO_COLOR", "pipe"],
)
def test_colours_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, stream: IO[str], no_color: str, coloured: bool
) -> None:
    """`NO_COLOR` has precedence, and an empty one is none (https://no-color.org)."""
    monkeypatch.setenv("NO_COLOR", no_color)
    assert wants_colours(stream) is coloured


def test_the_page_is_named_first() -> None:
    """Where there is a page, the first thing to read is to open it."""
    shown = Banner([("Gateway", "http://g")], [], [], page="http://g").render(colours=False).splitlines()
    assert shown[3] == "  Open http://g in a browser to play; the sign-in code is on the mail page."
