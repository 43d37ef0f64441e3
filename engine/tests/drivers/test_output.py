"""The tail of what an engine wrote."""

from galaxy_engine.drivers.output import clean


def test_control_characters_go() -> None:
    """Terminals, pages and logs get text: tabs and line feeds stay, what moves cursor or direction goes."""
    assert clean(b"a\tb\nc\r\x00\x1b[2J\x7f\xc2\x9b", 100) == "a\tb\nc[2J"
    assert clean("left\u202eright\u2066\u2028\ufeff".encode(), 100) == "leftright"


def test_broken_bytes_are_marked() -> None:
    """What is not UTF-8 is replaced, not refused."""
    assert clean(b"a\xffb", 100) == "a\ufffdb"


def test_no_half_characters() -> None:
    """A character that the cut goes through is left out."""
    assert clean("aé".encode(), 1) == ""
    assert clean("aé".encode(), 2) == "é"
