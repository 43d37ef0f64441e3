"""Sealing of answers."""

import pytest

from galaxy_gateway.idempotency.sealing import Sealer

SEALED = Sealer(b"secret").seal("galaxy:idempotency:a", b"content")


def test_what_is_sealed_opens() -> None:
    """In every process with the secret, and for the same name."""
    assert Sealer(b"secret").open("galaxy:idempotency:a", SEALED) == b"content"


def test_sealing_twice_shows_nothing() -> None:
    """The same answer looks different each time, and cannot be read."""
    assert Sealer(b"secret").seal("galaxy:idempotency:a", b"content") != SEALED
    assert b"content" not in SEALED


@pytest.mark.parametrize(
    ("secret", "name", "sealed"),
    [
        (b"other", "galaxy:idempotency:a", SEALED),
        (b"secret", "galaxy:idempotency:b", SEALED),
        (b"secret", "galaxy:idempotency:a", SEALED[:-1] + bytes([SEALED[-1] ^ 1])),
        (b"secret", "galaxy:idempotency:a", SEALED[:20]),
        (b"secret", "galaxy:idempotency:a", b""),
    ],
    ids=["another secret", "another call", "a changed bit", "cut short", "nothing"],
)
def test_nothing_else_opens(secret: bytes, name: str, sealed: bytes) -> None:
    """Not under another secret, not as another call's answer, not when damaged."""
    with pytest.raises(ValueError, match="sealed under another secret"):
        Sealer(secret).open(name, sealed)
