"""References of images."""

import pytest

from galaxy_engine.drivers.docker.references import digest_of, parse

DIGEST = "sha256:" + 64 * "a"


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("busybox", "busybox", None, None),
        ("galaxy/game:1.2", "galaxy/game", "1.2", None),
        ("localhost:5000/a/b", "localhost:5000/a/b", None, None),
        ("Registry.example:5000/a__b/c-d:V1", "Registry.example:5000/a__b/c-d", "V1", None),
        (f"a@{DIGEST}", "a", None, DIGEST),
        (f"a:1@{DIGEST}", "a", "1", DIGEST),
    ],
)
def test_parts(text: str, repository: str, tag: str | None, digest: str | None) -> None:
    """A reference has a repository, and a tag or a digest or both."""
    reference = parse(text)
    assert reference is not None
    assert (reference.repository, reference.tag, reference.digest) == (repository, tag, digest)
    assert reference.pullable


@pytest.mark.parametrize(
    "text", ["", "/a", "a/", "a//b", "a/../b", "..", "a?b", "a b", "a:", "a@sha256:12", "a\n", "ä"]
)
def test_not_a_reference(text: str) -> None:
    """What could mean something else in a path of the API is not taken."""
    assert parse(text) is None


def test_id() -> None:
    """An image's id names what is here alone."""
    reference = parse(DIGEST)
    assert reference is not None
    assert not reference.pullable


def test_digest_of_the_own_repository() -> None:
    """Of an image's digests, the one of the repository asked for counts; Docker Hub's have short names."""
    listed = [f"other@{DIGEST}", "galaxy/game@sha256:1"]
    for text in ("galaxy/game:1", "docker.io/galaxy/game"):
        reference = parse(text)
        assert reference is not None
        assert digest_of(reference, listed) == "galaxy/game@sha256:1"
    missing = parse("game")
    assert missing is not None
    assert digest_of(missing, listed) is None
