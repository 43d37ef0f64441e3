"""What the plugin tells players: that somebody signed in to their account on a new device."""

from uuid import UUID

from pydantic import Field

from galaxy_auth.domain import Session
from galaxy_auth.settings import AuthSettings
from galaxy_contracts.accounts import Account
from galaxy_contracts.notification import NOTIFICATIONS, Intent, NotificationKind
from galaxy_kernel.api import Connection, Context, Model, Timestamp


class NewDevice(Model):
    """A sign-in to an account that was there before."""

    session_id: UUID = Field(examples=["01890a5d-ac96-774b-bcce-b302099a8057"])
    device_name: str = Field(examples=["Ada's phone"])
    signed_in_at: Timestamp = Field(examples=["2026-11-25T18:30:00Z"])


NEW_DEVICE = NotificationKind(
    name="auth.new_device",
    summary="Somebody signed in to your account on a new device.",
    payload=NewDevice,
    package="galaxy_auth",
)


async def tell_of_device(
    context: Context[AuthSettings], connection: Connection, account: Account, session: Session
) -> None:
    """Submit the notification with the sign-in's own transaction, where notifications are installed."""
    notifications = context.find(NOTIFICATIONS)
    if notifications is None:
        return
    payload = NewDevice(session_id=session.id, device_name=session.device_name, signed_in_at=session.created_at)
    intent = Intent(kind=NEW_DEVICE.name, idempotency_key=str(session.id), payload=payload, recipients=(account.id,))
    await notifications.submit(connection, intent)
