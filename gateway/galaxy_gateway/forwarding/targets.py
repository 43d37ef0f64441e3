"""Which request targets are forwarded (SPEC W-1).

The path is judged as it came, before any decoding, and passed on unchanged: whatever two readers could understand
differently is refused, so that what was judged here is what the backend reads.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from galaxy_chassis.http.problems import Problem, not_found

LONGEST = 8_000
"""Characters of a target: path and query."""

_PREFIX = re.compile(r"/api/v1/(public|user)/")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]+")  # RFC 3986, 3.3
_QUERY = re.compile(r"[!-~]*")  # visible ASCII: browsers leave brackets and the like as they are
_AMBIGUOUS = re.compile(r"//|/\.{1,2}(?:[/;]|$)|;|%(?:2[efEF]|5[cC]|[01][0-9a-fA-F]|7[fF]|(?![0-9a-fA-F]{2}))")
_VALUE = re.compile(r"(?<![^/])(?![a-z][a-z-]{0,40}(?:/|$))[^/]+")
"""A part of a path that is not a word."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for, fit to be passed on."""

    raw: str
    """Path and query as they came."""
    path: str
    access: Literal["public", "user"]
    template: str
    """The path for logs and metrics: whatever is not a word of the API is left out, since it may be a secret."""


@lru_cache(maxsize=1024)
def parse(raw: str) -> Target:
    """Return the target of a request line.

    Raise the problems 414 `uri_too_long`, 400 `malformed_path` and, for what is not the clients', 404 `not_found`.
    """
    if len(raw) > LONGEST:
        raise Problem(414, "uri_too_long", f"Path and query are longer than {LONGEST:,} characters.")
    path, mark, query = raw.partition("?")
    if not _PATH.fullmatch(path) or _AMBIGUOUS.search(path):
        raise Problem(
            400, "malformed_path", "The path has empty or relative parts, encoded separators or characters of no path."
        )
    if mark and not _QUERY.fullmatch(query):
        raise Problem(400, "malformed_path", "The query has characters that must be percent-encoded.")
    prefix = _PREFIX.match(path)
    if prefix is None or prefix.end() == len(path):
        raise not_found("path here")
    template = prefix[0] + _VALUE.sub("{}", path[prefix.end() :])
    return Target(raw, path, "public" if prefix[1] == "public" else "user", template)
