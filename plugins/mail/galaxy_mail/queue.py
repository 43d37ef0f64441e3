"""The queue over the deliveries: how long a mail is leased, and when it is tried again."""

import random as random_module
from datetime import timedelta

from galaxy_kernel.api import Backoff, Clock, LeasedQueue
from galaxy_mail.settings import MailSettings
from galaxy_mail.tables import mail_attempts, mail_deliveries

DELIVER = "mail.deliver"
"""The worker's name, by which it is woken."""

LEASE = timedelta(seconds=75)
"""Longer than any one mail may take (60 s); a killed worker's mails are taken up again within 90 s (SPEC M-2)."""
_BACKOFF = Backoff(10.0, 3600.0, jitter=1.0)
"""Between the attempts of one mail: 8 are spread over up to 21 minutes, about half of that on average."""


def delivery_queue(
    settings: MailSettings, *, clock: Clock, random: random_module.Random, lease: timedelta = LEASE
) -> LeasedQueue:
    """Return the queue over `mail_deliveries`."""
    return LeasedQueue(
        mail_deliveries,
        mail_attempts,
        lease=lease,
        max_attempts=settings.max_attempts,
        backoff=_BACKOFF,
        wipe=("sealed",),
        random=random,
        monotonic=clock.monotonic,
    )
