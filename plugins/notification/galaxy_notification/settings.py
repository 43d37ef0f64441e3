"""The plugin's settings."""

from datetime import timedelta
from typing import Annotated

from annotated_types import Gt
from pydantic import Field, field_validator

from galaxy_contracts.formats import parse_address
from galaxy_kernel.api import Duration, Settings


class NotificationSettings(Settings):
    """Delivery of notifications, and the operators' address."""

    worker_interval: Annotated[Duration, Gt(timedelta(0))] = timedelta(seconds=5)
    """Longest wait between two checks for due routes; submitting an intent shortens it."""
    max_attempts: int = Field(default=8, ge=1, le=100)
    """Attempts before a route that fails is dead-lettered."""
    admin_email: str = ""
    """Address for notifications to operators; empty: their routes are skipped, and the intents kept."""
    retention: Annotated[Duration, Gt(timedelta(0))] = timedelta(days=90)
    """How long a notification is kept, unless a route of it is still to be delivered."""

    @field_validator("admin_email")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value:
            parse_address(value)
        return value
