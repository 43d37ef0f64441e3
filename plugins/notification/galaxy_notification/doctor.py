"""What `backend doctor` looks at: whether operators can be notified."""

from collections.abc import Sequence

from galaxy_kernel.api import Context, DoctorCheck, Finding
from galaxy_notification.settings import NotificationSettings


def checks(context: Context[NotificationSettings]) -> Sequence[DoctorCheck]:
    """Return the plugin's checks."""

    async def check() -> Sequence[Finding]:
        return judge(context.settings)

    return (DoctorCheck("addresses", check),)


def judge(settings: NotificationSettings) -> list[Finding]:
    """Return the findings on these settings."""
    found = []
    if not settings.admin_email:
        told = "nobody hears of a game that stands still: set BACKEND_NOTIFICATION_ADMIN_EMAIL"
        found.append(Finding("addresses", "warning", told))
    if not settings.public_url:
        told = "mails have no link to unsubscribe, and many relays refuse those: set BACKEND_NOTIFICATION_PUBLIC_URL"
        found.append(Finding("addresses", "warning", told))
    return found or [Finding("addresses", "ok", "operators are notified, and mails have a link to unsubscribe")]
