"""Versions, their order, image references, and what can be stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_engineversion.domain import numbers_of, parse_image, parse_version, precedence, storable

# From the suite that semver.org links to from its regular expression.
VALID = [
    "0.0.4", "1.2.3", "10.20.30", "1.1.2-prerelease+meta", "1.1.2+meta", "1.0.0-alpha", "1.0.0-alpha.1",
    "1.0.0-0A.is.legal", "1.0.0-rc.1+build.123", "1.0.0-alpha0.valid", "1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
    "2.0.0+build.1848", "1.0.0-0", "2147483647.0.0",
]  # fmt: skip
INVALID = [
    "", "1", "1.2", "v1.2.3", "1.2.3.4", "01.1.1", "1.01.1", "1.1.01", "1.2.3-0123", "1.2.3-0123.0123", "1.1.2+.123",
    "1.0.0-", "1.0.0-α", "1.0.0+", "1.0.0-a..b", "-1.0.3", "1.2.3 ", " 1.2.3", "1.2.3\n", "1.٢.3", "1.2.-3", "alpha",
    "1.2-SNAPSHOT",
    "2147483648.0.0", "1.99999999999999999999.0",
]  # fmt: skip


@pytest.mark.parametrize("version", VALID)
def test_versions(version: str) -> None:
    """A semantic version passes as it is."""
    assert parse_version(version) == version


@pytest.mark.parametrize("version", INVALID)
def test_other_texts_are_not_versions(version: str) -> None:
    """What is not a semantic version, or has numbers that are too large, is refused."""
    with pytest.raises(ValueError, match="must"):
        parse_version(version)


def test_numbers() -> None:
    """The numbers are those before pre-release and build."""
    assert numbers_of("1.20.3-4.5+6.7") == {"major": 1, "minor": 20, "patch": 3}


def test_precedence() -> None:
    """The order is that of semver.org's rule 11."""
    ordered = [
        "1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
        "1.0.0-rc.1", "1.0.0", "1.0.0+build", "1.0.1-alpha", "1.0.9", "1.0.10", "1.2.0", "2.0.0",
    ]  # fmt: skip
    shuffled = ordered[1::2] + ordered[::2]
    assert sorted(shuffled, key=precedence) == ordered


@pytest.mark.parametrize(
    "image",
    [
        "game",
        "galaxy/game:1.4.0",
        "registry.example:5000/a/b_c/d--e:Tag_1",
        f"ghcr.io/galaxy/game@sha256:{'0' * 64}",
        f"game:1@sha256:{'a' * 64}",
        "localhost:5000/game",
        "/opt/engines/Game-1",
        "./game.py",
    ],
)
def test_images(image: str) -> None:
    """An image reference and an executable's path pass as they are."""
    assert parse_image(image) == image


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("galaxy game", "spaces"),
        (" game", "spaces"),
        ("game\n", "spaces"),
        ("game\u00a0", "spaces"),
        ("/opt/my game", "spaces"),
        ("game\x1b[31m", "control"),
        ("/opt/\x07", "control"),
        ("/opt/\u202egame", "control"),
        ("Galaxy/Game:1", "image reference"),
        ("game:", "image reference"),
        ("game:1:2", "image reference"),
        ("game@sha256:12", "image reference"),
        ("game@latest", "image reference"),
        ("https://registry.example/game", "image reference"),
        ("-v", "image reference"),
        ("game;rm", "image reference"),
        ("", "image reference"),
    ],
)
def test_other_texts_are_not_images(image: str, said: str) -> None:
    """What is neither is refused in words that say why."""
    with pytest.raises(ValueError, match=said):
        parse_image(image)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None, categories=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_storable(value: object) -> None:
    """Whatever an engine says can be encoded and has no NUL afterwards."""
    encoded = json.dumps(storable(value), ensure_ascii=False).encode()
    assert b"\\u0000" not in encoded.replace(b"\\\\", b"")
