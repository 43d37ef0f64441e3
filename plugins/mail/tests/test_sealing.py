"""Sealing of mails that carry a secret."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_mail.sealing import Sealer

ONE, OTHER = UUID(int=1), UUID(int=2)


@given(st.binary(max_size=2000))
def test_opens_what_it_sealed(content: bytes) -> None:
    """A sealed mail opens under its own key and delivery."""
    sealer = Sealer(bytes(32))
    assert sealer.open(ONE, sealer.seal(ONE, content)) == content


def test_the_same_mail_is_never_sealed_alike() -> None:
    """Each sealing has a nonce of its own."""
    sealer = Sealer(bytes(32))
    assert len({sealer.seal(ONE, b"code") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("key", "delivery", "damage"),
    [(bytes([1] * 32), ONE, b""), (bytes(32), OTHER, b""), (bytes(32), ONE, b"x"), (bytes(32), ONE, None)],
    ids=["another key", "another delivery", "damaged", "cut off"],
)
def test_nothing_else_opens_it(key: bytes, delivery: UUID, damage: bytes | None) -> None:
    """Another key, another row or a changed octet raise ValueError."""
    sealed = Sealer(bytes(32)).seal(ONE, b"code")
    with pytest.raises(ValueError, match="BACKEND_SECRET_KEY"):
        Sealer(key).open(delivery, sealed[:5] if damage is None else sealed + damage)
