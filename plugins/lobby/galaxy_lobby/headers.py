"""The conditional and idempotent side of HTTP: keys, revisions and entity tags."""

import hashlib
import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

from galaxy_kernel.api import Call, RawJson, Response, invalid

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

TAGGED = ("If-None-Match", "ETag")
"""What a route declares that answers with `revalidated` or `immutable`."""
_KEY = "Idempotency-Key"
_MATCH = "If-Match"
_MAX_KEY = 255
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_REVISION = re.compile(r'(?:W/)?"?(\d{1,9})"?')
_REVALIDATED = "private, no-cache"
_FOR_EVER = "private, max-age=31536000, immutable"
_SHARED_STATE = "public, max-age=5"
"""A cache before us asks at most this often, however many people look."""
_SHARED_DOCUMENT = "public, max-age=86400, immutable"
"""A day: what is withdrawn does not stay in the caches of others for long."""


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, quoted as a string of RFC 9651 or bare, or None. Raise the problem 422."""
    given = headers.get(_KEY)
    if given is None:
        return None
    quoted = _QUOTED.fullmatch(given.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given.strip()
    if not key or len(key) > _MAX_KEY or not key.isascii() or not key.isprintable():
        raise invalid(_KEY, f"must be 1 to {_MAX_KEY} printable ASCII characters")
    return key


def expected_revision(headers: Mapping[str, str]) -> int | None:
    """Return the revision that a request goes by, None without one. Raise the problem 422."""
    given = headers.get(_MATCH)
    if given is None or given.strip() == "*":
        return None
    found = _REVISION.fullmatch(given.strip())
    if found is None:
        raise invalid(_MATCH, 'must be the ETag of the orders that were read, for example "3"')
    return int(found[1])


def revalidated(call: Call, model: M, *, shared: bool = False) -> Response[M]:
    """Return an answer with a weak tag of what it says: 304 for who has it already.

    `shared` is for what everybody may see: caches between us and its readers may keep it too.
    """
    digest = hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:24]
    return _tagged(call, model, f'W/"{digest}"', _SHARED_STATE if shared else _REVALIDATED)


def immutable(call: Call, document: bytes, *, shared: bool = False) -> Response[RawJson]:
    """Return a document that never changes: 304 for who has it already, and no need to ask again."""
    digest = hashlib.sha256(document).hexdigest()[:24]
    return _tagged(call, RawJson(document), f'"{digest}"', _SHARED_DOCUMENT if shared else _FOR_EVER)


def _tagged(call: Call, value: T, tag: str, caching: str) -> Response[T]:
    known = {each.strip().removeprefix("W/") for each in call.headers.get("If-None-Match", "").split(",")}
    same = tag.removeprefix("W/") in known
    return Response(value, status=304 if same else None, headers={"ETag": tag, "Cache-Control": caching})
