"""The queue over the routes: how long one is leased, and when it is tried again."""

from datetime import timedelta

from galaxy_kernel.api import Backoff, Context, LeasedQueue
from galaxy_notification.settings import NotificationSettings
from galaxy_notification.tables import notification_routes

DELIVER = "notification.deliver"
"""The worker's name, by which it is woken."""
LEASE = timedelta(seconds=30)
"""Far longer than a set takes, which is two statements a channel; a killed worker's routes are taken up after it."""
_BACKOFF = Backoff(10.0, 3600.0, jitter=1.0)
"""Between the attempts of one route, as mail's."""


def route_queue(context: Context[NotificationSettings]) -> LeasedQueue:
    """Return the queue over `notification_routes`."""
    return LeasedQueue(
        notification_routes,
        lease=LEASE,
        max_attempts=context.settings.max_attempts,
        backoff=_BACKOFF,
        random=context.random,
        monotonic=context.clock.monotonic,
    )
