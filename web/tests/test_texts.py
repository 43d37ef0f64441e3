"""The dictionaries: nothing that the page says is missing in the second language."""

import re

from galaxy_web import FILES

CALL = re.compile(r"\bt\(\s*\"([^\"]+)\"")
ENTRY = re.compile(r"^  (?:\"([^\"]+)\"|(\w+)): \"([^\"]*)\",$", re.MULTILINE)
PLACE = re.compile(r"\{(\w+)\}")


def entries(text: str) -> dict[str, str]:
    return {quoted or bare: value for quoted, bare, value in ENTRY.findall(text)}


GERMAN = entries((FILES / "de.js").read_text())
ENGLISH_OF_CODES = entries((FILES / "texts.js").read_text())


def test_every_text_is_in_german() -> None:
    """Each literal text of the page, and each code that has words in English, has an entry."""
    used = {text for path in FILES.rglob("*.js") for text in CALL.findall(path.read_text())}
    assert len(used) > 100
    assert (used | ENGLISH_OF_CODES.keys()) - GERMAN.keys() == set()


def test_translations_have_the_same_places() -> None:
    """What is filled into a text is filled into its translation."""
    for text, german in GERMAN.items():
        assert set(PLACE.findall(german)) == set(PLACE.findall(ENGLISH_OF_CODES.get(text, text))), text


def test_no_markup_is_made_from_text() -> None:
    """No file uses what turns text into markup or code."""
    for path in FILES.rglob("*.js"):
        assert (
            re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text())
            is None
        )
