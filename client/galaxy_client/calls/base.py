"""What all calls have in common: paths, bodies, keys, and answers as types."""

from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec

from galaxy_client.errors import AnswerError
from galaxy_client.retries import Caller, Safety
from galaxy_client.transport import Answer, Request

T = TypeVar("T")
Id = UUID | str


class Calls:
    """Makes calls for the classes that name them."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def _get(self, type_: type[T], path: str, **query: Any) -> T:
        """Read something."""
        request = Request("GET", path, query={name: _word(value) for name, value in query.items()})
        return decoded(request, await self._caller.call(request), type_)

    async def _do(
        self,
        type_: type[T],
        method: str,
        path: str,
        body: Any = None,
        *,
        safety: Safety = Safety.REPEATABLE,
        key: str | None = None,
        if_match: int | None = None,
    ) -> T:
        """Change something, under an `Idempotency-Key` of its own unless the caller has one. `None` has no answer."""
        headers = {"Idempotency-Key": quoted(key or str(uuid4()))}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        request = Request(method, path, headers=headers, body=None if body is None else msgspec.json.encode(body))
        return decoded(request, await self._caller.call(request, safety), type_)


def decoded(request: Request, answer: Answer, type_: type[T]) -> T:
    """Return an answer as a type. Raise AnswerError."""
    if type_ is type(None) and not answer.body:
        return None
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except msgspec.MsgspecError as error:
        raise AnswerError(
            f"{request.name}: the answer is not what the API gives ({error}): is it the address of a game server, and "
            "is this client as new as the server?"
        ) from None


def identifier(given: Id) -> str:
    """Return an id as paths have it. Raise ValueError for what is not one."""
    try:
        return str(given if isinstance(given, UUID) else UUID(given))
    except ValueError:
        raise ValueError(f"expected an id (a UUID), got {given!r}") from None


def quoted(key: str) -> str:
    """Return a key as a string of RFC 9651. Raise ValueError for what cannot be one."""
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise ValueError("an idempotency key has 1 to 255 printable ASCII characters")
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _word(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
