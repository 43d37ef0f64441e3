"""Answers that are kept: which, and what of them.

Kept are 2xx and those 4xx that the same call would have again. Not kept: 401, 403 and 412, which depend on who calls
and on what has changed since; 408, 409, 425 and 429, which pass; 5xx, 1xx and 3xx. A call with such an answer may run
again.

Secrets are not kept at all. The answer to `confirm-email-code` has the token of the new session: a copy of it would
be a second place to steal it from, and nothing could revoke it there. A client that lost this answer asks for another
code. What `/api/v1/user/account` answers has the e-mail address, of which nothing may be left once the account is
deleted; changing and deleting it are idempotent by nature. An answer that sets a cookie is not kept either, wherever
it comes from.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

LARGEST = 256 * 1024
"""Octets of the largest body that is kept."""
HEADERS = frozenset(
    {"content-encoding", "content-language", "content-type", "etag", "last-modified", "location", "vary"}
)
"""Fields that are kept with an answer, in lower case; the others belong to one message or one connection."""
REPLAYED = ("Idempotency-Replayed", "true")
"""The field that marks an answer as a replay."""
SECRET_PATHS = frozenset({"/api/v1/public/auth/confirm-email-code", "/api/v1/user/account"})
"""Calls whose answers are never kept. The backend decodes no path, so these are their only spellings."""
_PASSING = frozenset({401, 403, 408, 409, 412, 425, 429})

Reason = Literal["status", "secret", "size"]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it is kept."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def why_not_kept(path: str, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Reason | None:
    """Return why an answer is not kept; None when it is."""
    if not (200 <= status <= 299 or 400 <= status <= 499) or status in _PASSING:
        return "status"
    if path in SECRET_PATHS or any(name.lower() == "set-cookie" for name, _ in headers):
        return "secret"
    return "size" if len(body) > LARGEST else None


def kept(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
    """Return what is kept of an answer."""
    return Answer(status, tuple((name, value) for name, value in headers if name.lower() in HEADERS), body)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Answer)


def encode(answer: Answer) -> bytes:
    """Return the answer as octets."""
    return _encoder.encode(answer)


def decode(octets: bytes) -> Answer:
    """Return the answer in octets. Raise ValueError for any others, such as another version of the gateway keeps."""
    try:
        return _decoder.decode(octets)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
