"""What refusals are about, in the words of real relays."""

import pytest

from galaxy_mail.replies import Identity, Subject, pattern_of, subject_of

OURS = Identity("galaxy@play.example.org", ("vm.example.org", "192.0.2.1"))
TO = "ada@elsewhere.test"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (554, "5.7.1 <ada@elsewhere.test>: Relay access denied"),
        (454, "4.7.1 <ada@elsewhere.test>: Relay access denied"),
        (550, "relay not permitted"),
        (550, "5.7.64 TenantAttribution; Relay Access Denied"),
        (550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
        (553, "5.7.1 <galaxy@play.example.org>: Sender address rejected: not owned by user u"),
        (554, "5.7.1 <galaxy@play.example.org>: Sender address rejected: Access denied"),
        (550, "5.1.8 <galaxy@play.example.org>: Sender address rejected: Domain not found"),
        (550, "5.7.60 SMTP; Client does not have permissions to send as this sender"),
        (550, "galaxy@play.example.org is not allowed here"),
        (554, "5.2.252 SendAsDenied; galaxy@play.example.org not allowed to send as galaxy@play.example.org"),
        (554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
        (554, "5.2.0 STOREDRV.Submission.Exception:OutboundSpamException"),
        (550, "5.2.1 The sender account is disabled: galaxy@play.example.org"),
        (550, "5.4.6 Unusual sending activity detected"),
        (454, "Throttling failure: Daily message quota exceeded"),
        (550, "Sender verification failed"),
        (504, "5.5.2 <vm>: Helo command rejected: need fully-qualified hostname"),
        (450, "4.7.1 <vm.example.org>: Helo command rejected: Host not found"),
        (550, "5.7.1 we do not speak to vm.example.org"),
        (550, "5.7.1 [192.0.2.1] is not welcome"),
        (554, "5.7.1 Service unavailable; Client host [198.51.100.3] blocked using list.example"),
        (550, "5.7.25 The IP address sending this message does not have a PTR record"),
        (550, "5.7.606 Access denied, banned sending IP"),
        (550, "5.4.5 Daily user sending limit exceeded"),
        (550, "5.7.0 Your account has been suspended"),
        (530, "5.7.0 Authentication Required"),
        (550, "5.7.3 Requires authentication"),
        (503, "AUTH first"),
        (535, "5.7.8 bad credentials"),
    ],
)
def test_about_us(code: int, text: str) -> None:
    """Relaying, sender, greeting, address, quota and login are ours, at whatever stage the relay says so."""
    assert subject_of(code, text, TO, OURS) is Subject.US


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (550, "5.1.1 <ada@elsewhere.test>: Recipient address rejected: User unknown"),
        (550, "5.1.2 elsewhere.test: domain not found"),
        (450, "4.1.1 <ada@elsewhere.test>: unverified address: host mx[192.0.2.9] said: 554 5.7.1 Relay access denied"),
        (450, "4.2.0 <ada@elsewhere.test>: Recipient address rejected: Greylisted"),
        (552, "5.2.2 mailbox quota exceeded"),
        (451, "4.7.1 Greylisting in action, please come back later"),
        (450, "4.7.1 <ada@elsewhere.test>: Recipient address rejected: Greylisted"),
        (451, "4.7.1 Please try again in 300 seconds"),
        (451, "Graylisted, try again"),
        (550, "no such user here"),
        (550, "5.1.10 RESOLVER.ADR.RecipientNotFound"),
        (451, "4.4.1 connection to elsewhere.test timed out"),
    ],
)
def test_about_the_recipient(code: int, text: str) -> None:
    """The code that names the recipient counts, whatever else the text quotes."""
    assert subject_of(code, text, TO, OURS) is Subject.RECIPIENT


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (554, "5.7.1 spam"),
        (550, "5.7.1 not from you"),
        (554, "5.7.1 <ada@elsewhere.test>: Recipient address rejected: Access denied"),
        (550, "Verification failed for <ada@elsewhere.test>; elsewhere.test said: 550 Relay access denied"),
        (550, "5.7.1 mail to xvm.example.org-2 is not accepted"),
        (550, "5.7.1 1192.0.2.1 or 192.0.2.10 it is not"),
        (550, "5.6.0 content rejected; see your account"),
        (451, "4.3.0 queue file write error"),
    ],
)
def test_about_neither(code: int, text: str) -> None:
    """Content, policies and quotations of a recipient's own server do not say that the relay refuses us."""
    assert subject_of(code, text, TO, OURS) is Subject.UNKNOWN


def test_a_recipient_of_our_own_name() -> None:
    """A recipient who has our sender's address, or is at the host of our name, is not us."""
    assert subject_of(550, "<galaxy@play.example.org> is away", OURS.sender, OURS) is Subject.UNKNOWN
    assert subject_of(550, "<eve@vm.example.org> is away", "eve@vm.example.org", OURS) is Subject.UNKNOWN


def test_what_refusals_have_in_common() -> None:
    """Neither the address nor the marks of one conversation make a pattern another one; the code does."""
    first = pattern_of(554, "5.7.1 <ada@one.test>: no, not one.test (id a1b2)", "ada@one.test")
    assert first == pattern_of(554, "5.7.1 <bob@two.test>: no, not two.test (id 77x)", "bob@two.test")
    assert first != pattern_of(550, "5.7.1 <bob@two.test>: no, not two.test (id 77x)", "bob@two.test")
