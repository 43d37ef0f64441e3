"""Image references: what may stand in a path of the daemon's API, and which digest belongs to which repository."""

import re
from collections.abc import Sequence

import msgspec

LONGEST = 255
"""Characters of a repository's name, by the distribution specification."""
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_ID = re.compile(r"sha256:[0-9a-f]{64}")


class Reference(msgspec.Struct, frozen=True):
    """A reference by its parts; an image id has neither tag nor digest and cannot be pulled."""

    text: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def pullable(self) -> bool:
        """Whether a registry could have it."""
        return self.repository != self.text or not _ID.fullmatch(self.text)


def parse(text: str) -> Reference | None:
    """Return the reference, None if the text is not one."""
    if _ID.fullmatch(text):
        return Reference(text, text, None, None)
    match = _REFERENCE.fullmatch(text)
    if match is None or len(match["repository"]) > LONGEST:
        return None
    return Reference(text, match["repository"], match["tag"], match["digest"])


def familiar(repository: str) -> str:
    """Return the short form in which the daemon lists repositories of Docker Hub."""
    for prefix in ("docker.io/library/", "docker.io/"):
        if repository.startswith(prefix):
            return repository.removeprefix(prefix)
    return repository


def digest_of(reference: Reference, repo_digests: Sequence[str]) -> str | None:
    """Return `repository@sha256:…` of the reference's own repository, None where no registry gave one."""
    own = familiar(reference.repository) + "@"
    of_repository = [digest for digest in repo_digests if digest.startswith(own)]
    exact = [digest for digest in of_repository if reference.digest and digest.endswith(reference.digest)]
    return next(iter(exact or of_repository), None)
