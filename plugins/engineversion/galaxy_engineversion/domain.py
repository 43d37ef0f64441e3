"""Versions, image references, and what may be stored of what an engine says. No I/O."""

import re
from dataclasses import dataclass
from typing import Any, Literal, TypedDict
from uuid import UUID

import msgspec

from galaxy_contracts.engines import VersionState

CheckState = Literal["checking", "passed", "failed"]

MAX_VERSION = 64
MAX_IMAGE = 512
MAX_NOTES = 10_000
ENGINE = "^[a-z0-9][a-z0-9._-]{0,63}$"
"""Names of engines, as the engine contract has them."""

_NUMBER = "(0|[1-9][0-9]*)"
_PRERELEASE = "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = "[0-9a-zA-Z-]+"
SEMVER = rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-({_PRERELEASE}(\.{_PRERELEASE})*))?(\+({_BUILD}(\.{_BUILD})*))?$"
"""Semantic Versioning 2.0.0 (semver.org), in what Python's and PostgreSQL's regular expressions have in common."""
VERSION = SEMVER.replace("[1-9][0-9]*)", "[1-9][0-9]{0,8})")
"""For the description of the API: with numbers that are small enough."""
_SEMVER = re.compile(SEMVER.removeprefix("^").removesuffix("$"))
_LARGEST = 2**31 - 1
"""Of a version's numbers: they are integers of PostgreSQL."""

_COMPONENT = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_HOST = "[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?"
_REFERENCE_PATTERN = (
    rf"({_HOST}/)?{_COMPONENT}(/{_COMPONENT})*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?"
)
"""An image reference, by the grammar of github.com/distribution/reference."""
_REFERENCE = re.compile(_REFERENCE_PATTERN)
IMAGE = rf"^({_REFERENCE_PATTERN}|\.{{0,2}}/[!-~]*)$"
"""An image reference or an executable's path, for the description of the API."""
_PATH_BEGINNINGS = ("/", "./", "../")


class Numbers(TypedDict):
    """The numbers of a version."""

    major: int
    minor: int
    patch: int


class Claim(msgspec.Struct, frozen=True):
    """A check that this process has claimed, under a lease."""

    id: UUID
    """The version's."""
    name: str
    image: str
    digest: str | None
    lease: int
    """Fences the result: each later claim has a higher one."""
    tries: int
    """How many processes have claimed it, this one included."""
    request_id: str


@dataclass(frozen=True, slots=True)
class Registration:
    """A version to add at start where it is missing."""

    engine: str
    version: str
    image: str


class VersionChange(TypedDict, total=False):
    """The fields of a version that are to change, checked already."""

    engine: str
    version: str
    image: str
    state: VersionState
    notes: str


def parse_version(text: str) -> str:
    """Return a version as it is. Raise ValueError if it is not one."""
    found = _SEMVER.fullmatch(text)
    if found is None:
        raise ValueError("must be a version by semver.org: three numbers, for example 1.4.0 or 2.0.0-beta.1")
    if any(int(found[number]) > _LARGEST for number in (1, 2, 3)):
        raise ValueError(f"must not have numbers above {_LARGEST}")
    return text


def numbers_of(version: str) -> Numbers:
    """Return the numbers of a version that was parsed."""
    found = _SEMVER.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is not a version")
    return Numbers(major=int(found[1]), minor=int(found[2]), patch=int(found[3]))


def precedence(version: str) -> tuple[object, ...]:
    """Return a key that sorts parsed versions by semver.org's rule 11; those equal by it sort by their build."""
    core, _, build = version.partition("+")
    numbers, dash, prerelease = core.partition("-")
    identifiers = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in (prerelease.split(".") if dash else ())
    )
    return (*(int(number) for number in numbers.split(".")), not dash, identifiers, build)


def parse_image(text: str) -> str:
    """Return an image reference, or an executable's path, as it is. Raise ValueError if it is neither."""
    if any(character.isspace() for character in text):
        raise ValueError("must not hold spaces")
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    if text.startswith(_PATH_BEGINNINGS):
        return text
    if _REFERENCE.fullmatch(text) is None:
        raise ValueError(
            "must be an image reference, for example registry.example/galaxy/game:1.4.0, or an executable's path "
            "that begins with /"
        )
    return text


def storable(value: Any) -> Any:
    """Return JSON without the character NUL and lone surrogates, which Postgres does not take."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {storable(key): storable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [storable(part) for part in value]
    return value


def parse_registration(text: str) -> Registration:
    """Read `engine@version=image`. Raise ValueError with what is wrong."""
    reference, equals, image = text.partition("=")
    engine, at, version = reference.partition("@")
    if not (equals and at and re.fullmatch(ENGINE, engine)):
        raise ValueError(f"{text!r} is not engine@version=image")
    return Registration(engine, parse_version(version), parse_image(image))
