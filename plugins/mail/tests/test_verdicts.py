"""Whether the relay refuses us or a mail, from refusals in a row."""

from typing import Any
from uuid import uuid4

import pytest

from galaxy_kernel.api import Claim
from galaxy_mail.errors import Refusal
from galaxy_mail.replies import Subject
from galaxy_mail.verdicts import Verdict, Verdicts

US = Refusal("relay access denied", code=554, permanent=True, subject=Subject.US)
NOBODY = Refusal("no such user", code=550, permanent=True, subject=Subject.RECIPIENT)
VAGUE = Refusal("no", code=554, permanent=True)
OTHER = Refusal("never", code=554, permanent=True)
LOST = Refusal("lost", permanent=False, handed_over=True)


def mail() -> Claim:
    row: Any = ()
    return Claim(uuid4(), 1, 1, 1, 0.0, 75.0, 1e9, row)


@pytest.fixture
def verdicts() -> Verdicts:
    return Verdicts()


def judged(verdicts: Verdicts, refusal: Refusal, *domains: str, of: Claim | None = None) -> list[Verdict]:
    return [verdicts.judge(of or mail(), f"ada@{domain}", refusal) for domain in domains]


def test_a_refusal_of_us_is_the_relays(verdicts: Verdicts) -> None:
    """Each mail refused for our sake is untried, until the relay serves one."""
    assert judged(verdicts, US, "a.test", "b.test") == [Verdict.RELAY] * 2
    assert verdicts.blaming
    verdicts.served()
    assert not verdicts.blaming


def test_a_mail_refused_among_served_ones_uses_its_attempts(verdicts: Verdicts) -> None:
    """A mail that is refused as if for our sake, although others are served, stops sending once."""
    poison = mail()
    assert judged(verdicts, US, "a.test", "a.test", of=poison) == [Verdict.RELAY] * 2
    verdicts.served()
    assert judged(verdicts, US, "a.test", "a.test", of=poison) == [Verdict.MAIL_FOR_NOW] * 2
    assert judged(verdicts, US, "b.test") == [Verdict.RELAY]


def test_three_domains_in_a_row(verdicts: Verdicts) -> None:
    """The same words for recipients at three domains are the relay's; the mails are put back, the next is untried."""
    first = mail()
    assert judged(verdicts, VAGUE, "a.test", of=first) == [Verdict.MAIL]
    assert judged(verdicts, VAGUE, "a.test", "b.test") == [Verdict.MAIL] * 2
    assert verdicts.to_put_back() == ()
    assert judged(verdicts, VAGUE, "c.test", "d.test") == [Verdict.RELAY_AFTER_ALL, Verdict.RELAY]
    assert len(verdicts.to_put_back()) == 4 and first.key in verdicts.to_put_back()
    verdicts.put_back(verdicts.to_put_back())
    assert verdicts.to_put_back() == () and verdicts.blaming
    verdicts.served()
    assert judged(verdicts, VAGUE, "e.test") == [Verdict.MAIL]


@pytest.mark.parametrize("between", ["served", "no such user", "other words"])
def test_a_row_ends_when_another_answer_comes(verdicts: Verdicts, between: str) -> None:
    """A mail that is served, an unknown recipient or other words begin the count again."""
    judged(verdicts, VAGUE, "a.test", "b.test")
    if between == "served":
        verdicts.served()
    else:
        judged(verdicts, NOBODY if between == "no such user" else OTHER, "x.test")
    assert judged(verdicts, VAGUE, "c.test", "d.test") == [Verdict.MAIL] * 2
    assert verdicts.to_put_back() == ()


def test_unknown_recipients_are_never_the_relays(verdicts: Verdicts) -> None:
    """However many recipients are unknown, each is refused for itself."""
    assert judged(verdicts, NOBODY, *(f"{number}.test" for number in range(9))) == [Verdict.MAIL] * 9


def test_mails_that_may_have_gone_are_not_put_back(verdicts: Verdicts) -> None:
    """A relay that hangs after each message is down, but those mails have used their attempts."""
    assert judged(verdicts, LOST, "a.test", "b.test", "c.test", "d.test") == [
        *(Verdict.MAIL, Verdict.MAIL),
        *(Verdict.RELAY_AFTER_ALL, Verdict.RELAY_AFTER_ALL),
    ]
    assert verdicts.to_put_back() == () and verdicts.blaming
