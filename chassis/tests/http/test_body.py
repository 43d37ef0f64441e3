"""Reading bodies: whole, within the limit, however they arrive."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.http.body import read
from galaxy_chassis.http.problems import Problem


class Pieces:
    """A request whose body arrives as its client and the network will have it."""

    def __init__(self, pieces: list[bytes], announced: bool) -> None:
        self._pieces = list(pieces)
        self.body_exists = True
        self.content_length = sum(map(len, pieces)) if announced else None
        self.headers: dict[str, str] = {}
        self.content = self

    async def readany(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.booleans())
def test_a_body_is_whole_in_however_many_reads_it_comes(pieces: list[bytes], announced: bool) -> None:
    """One, two or more reads: nothing is lost, and the limit is that of the whole, announced or not."""
    whole = b"".join(pieces)
    assert asyncio.run(read(Pieces(pieces, announced), len(whole))) == whole  # type: ignore[arg-type] # a request's part
    if whole:
        with pytest.raises(Problem, match="413"):
            asyncio.run(read(Pieces(pieces, announced), len(whole) - 1))  # type: ignore[arg-type] # likewise
