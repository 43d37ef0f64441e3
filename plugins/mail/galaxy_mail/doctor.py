"""What `backend doctor` looks at: whether the relay takes our mails, and what became of those that were queued."""

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from galaxy_contracts.formats import parse_address
from galaxy_kernel.api import Context, DoctorCheck, Finding
from galaxy_mail import queries
from galaxy_mail.domain import Rendered
from galaxy_mail.errors import Refusal, RelayDown
from galaxy_mail.mime import compose
from galaxy_mail.settings import MailSettings, SmtpSettings, is_private
from galaxy_mail.transport import SmtpTransport, tls_context

_PATIENCE = timedelta(seconds=8)
"""Time limit for the relay: less than a check may take, so that it is this check that names what is late."""
_LATE = timedelta(minutes=15)
"""How long a mail may be due until something is wrong."""
_HINTS = (
    ("STARTTLS extension not supported", "for a relay without STARTTLS set BACKEND_SMTP_TLS_MODE=implicit"),
    ("WRONG_VERSION_NUMBER|record layer", "it does not begin with TLS there: set BACKEND_SMTP_TLS_MODE=starttls"),
    ("CERTIFICATE_VERIFY_FAILED", "is BACKEND_SMTP_HOST the name in its certificate?"),
    ("refused|Connect call failed", "does it run, and is BACKEND_SMTP_PORT right?"),
    ("not known|No address|Temporary failure", "the name does not resolve: is BACKEND_SMTP_HOST right?"),
    ("no answer within", "is a firewall in between, and is BACKEND_SMTP_TLS_MODE right for the port?"),
    ("refuses our login", "the relay knows other ones"),
    ("MAIL FROM", "it does not take mails from BACKEND_SMTP_FROM: may this login send from that address?"),
)
"""What to do, by what went wrong."""
_TEXT = "This mail was sent by `backend doctor --send-test-mail`: the relay takes mails from this deployment."


def checks(context: Context[MailSettings]) -> Sequence[DoctorCheck]:
    """Return the plugin's checks."""
    return (
        DoctorCheck("relay", lambda: check_relay(context.settings.smtp)),
        DoctorCheck("sender", lambda: check_sender(context.settings.smtp)),
        DoctorCheck("queue", partial(check_queue, context), needs="database"),
        DoctorCheck("test mail", lambda to: send_test_mail(context.settings.smtp, to), option="send-test-mail"),
    )


async def check_relay(settings: SmtpSettings) -> Sequence[Finding]:
    """Connect, turn TLS on, log in, and have the sender accepted, as for a mail."""
    try:
        transport = _transport(settings)
    except OSError as error:  # SSLError is one
        return [Finding("relay", "failed", f"BACKEND_SMTP_CA_FILE: cannot be used as CA certificates: {error}")]
    try:
        await transport.check_sender()
    except RelayDown as error:
        return [Finding("relay", "failed", _with_hint(str(error)))]
    finally:
        await transport.close()
    return [Finding("relay", "ok", f"{settings.host}:{settings.relay_port} takes mails of {settings.sender.addr_spec}")]


async def check_sender(settings: SmtpSettings) -> Sequence[Finding]:
    """Check that the sender's address is one that somebody else's relay accepts."""
    domain = settings.sender.domain
    if is_private(domain) and not is_private(settings.host):
        told = f"BACKEND_SMTP_FROM: nobody outside can answer {settings.sender.addr_spec}, and many relays refuse it"
        return [Finding("sender", "warning", f"{told}: set an address of a domain of yours")]
    return [Finding("sender", "ok", settings.sender.addr_spec)]


async def check_queue(context: Context[MailSettings]) -> Sequence[Finding]:
    """Look for mails that wait too long, and for those that were given up."""
    async with context.database.reading() as connection:
        late, dead = await queries.count_troubled(connection, _LATE)
    if late:
        minutes = f"{_LATE.total_seconds() / 60:.0f} minutes"
        told = f"{late} mails are due for more than {minutes}: does a backend run, and does the relay take its mails?"
        return [Finding("queue", "warning", told)]
    if dead:
        told = f"{dead} mails were given up within a day: GET /api/v1/admin/mail/deliveries?state=dead_lettered"
        return [Finding("queue", "warning", told)]
    return [Finding("queue", "ok", "no mail is late, and none was given up within a day")]


async def send_test_mail(settings: SmtpSettings, recipient: str) -> Sequence[Finding]:
    """Send one mail now, past the queue."""
    try:
        envelope = parse_address(recipient).envelope
    except ValueError as error:
        return [Finding("test mail", "failed", f"--send-test-mail: not an e-mail address: {error}")]
    transport = _transport(settings)
    try:
        reply = await transport.send(envelope, _test_mail(settings, envelope))
    except (RelayDown, Refusal) as error:
        return [Finding("test mail", "failed", _with_hint(str(error)))]
    finally:
        await transport.close()
    return [Finding("test mail", "ok", f"the relay took it ({reply.code} {reply.text}): look whether it arrives")]


def _test_mail(settings: SmtpSettings, recipient: str) -> bytes:
    return compose(
        Rendered("Test mail of Galaxy Backend", f"{_TEXT}\n", f"<p>{_TEXT}</p>"),
        sender=settings.sender,
        recipient=recipient,
        message_id=f"<{uuid.uuid4()}@{settings.sender.domain}>",
        date=datetime.now(UTC),
    )


def _transport(settings: SmtpSettings) -> SmtpTransport:
    patient = settings.model_copy(update={"timeout": min(settings.timeout, _PATIENCE)})
    return SmtpTransport(patient, tls_context(patient))


def _with_hint(told: str) -> str:
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, told)), "see the relay's own log")
    return f"{told}; {hint}"
