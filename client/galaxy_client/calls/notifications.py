"""The inbox."""

from galaxy_client.calls.base import Calls, Id, identifier
from galaxy_client.models.base import Page
from galaxy_client.models.notifications import Notification, ReadCount

NOTIFICATIONS = "/api/v1/user/notifications"


class NotificationCalls(Calls):
    """The inbox."""

    async def notifications(self, *, unread: bool = False, page: int = 1, page_size: int = 50) -> Page[Notification]:
        """List your notifications, the newest first."""
        return await self._get(Page[Notification], NOTIFICATIONS, unread=unread, page=page, page_size=page_size)

    async def mark_read(self, notification: Id) -> None:
        """Mark a notification as read."""
        await self._do(type(None), "POST", f"{NOTIFICATIONS}/{identifier(notification)}/read")

    async def mark_all_read(self) -> int:
        """Mark all notifications as read, and return how many were not."""
        return (await self._do(ReadCount, "POST", f"{NOTIFICATIONS}/read")).read
