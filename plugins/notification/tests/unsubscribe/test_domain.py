"""Signed links."""

from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from galaxy_notification.unsubscribe.domain import PATH, UnsubscribeLinks, Unsubscription

LINKS = UnsubscribeLinks(b"key", "https://play.test/galaxy")
ADA = Unsubscription(UUID(int=1), "lobby.turn_ready")
KINDS = st.from_regex(r"[a-z][a-z0-9]{0,20}\.[a-z][a-z0-9_]{0,40}", fullmatch=True)


def test_a_link_is_below_the_public_address() -> None:
    """It has the path of the operation, and a token that needs no escaping."""
    url = LINKS.url(ADA)
    assert url == f"https://play.test/galaxy{PATH}/{LINKS.token(ADA)}"
    assert set(LINKS.token(ADA)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_without_a_public_address_there_are_no_links() -> None:
    """Mails then have none; links of earlier mails are still read."""
    links = UnsubscribeLinks(b"key", "")
    assert links.url(ADA) is None
    assert links.read(LINKS.token(ADA)) == ADA


@given(account=st.uuids(), kind=KINDS)
def test_a_token_is_read_as_it_was_made(account: UUID, kind: str) -> None:
    """The same account and kind have the same token, so that a mail's bytes are the same."""
    unsubscription = Unsubscription(account, kind)
    token = LINKS.token(unsubscription)
    assert LINKS.read(token) == unsubscription
    assert LINKS.token(unsubscription) == token


@given(token=st.one_of(st.text(max_size=100), st.binary(max_size=100).map(lambda raw: raw.decode("latin-1"))))
def test_what_was_not_made_here_is_not_read(token: str) -> None:
    """Any text is read without an error, as no link."""
    assume(token != LINKS.token(ADA))
    assert LINKS.read(token) is None


@given(place=st.integers(0, 69), character=st.sampled_from("AZaz09-_"))
def test_a_changed_token_is_not_read(place: int, character: str) -> None:
    """No character of it can be exchanged for another, so that nobody mutes another account or kind."""
    token = LINKS.token(ADA)
    changed = token[:place] + character + token[place + 1 :]
    assume(changed != token)
    assert LINKS.read(changed) in (None, ADA if place == len(token) - 1 else None)


@pytest.mark.parametrize("key", [b"", b"other"])
def test_another_key_reads_nothing(key: bytes) -> None:
    """Links of another deployment, or from before its key was changed, are not valid."""
    assert UnsubscribeLinks(key, "").read(LINKS.token(ADA)) is None
