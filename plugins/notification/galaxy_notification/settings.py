"""The plugin's settings."""

from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Gt
from pydantic import Field, field_validator

from galaxy_contracts.formats import parse_address
from galaxy_kernel.api import Duration, Settings

_MAX_URL = 500


class NotificationSettings(Settings):
    """Delivery of notifications, and the operators' address."""

    worker_interval: Annotated[Duration, Gt(timedelta(0))] = timedelta(seconds=5)
    """Longest wait between two checks for due routes; submitting an intent shortens it."""
    max_attempts: int = Field(default=8, ge=1, le=100)
    """Attempts before a route that fails is dead-lettered."""
    admin_email: str = ""
    """Address for notifications to operators; empty: their routes are skipped, and the intents kept."""
    public_url: str = ""
    """Address of the API for players, such as `https://play.example.org`; empty: mails have no link to unsubscribe."""
    retention: Annotated[Duration, Gt(timedelta(0))] = timedelta(days=90)
    """How long a notification is kept, unless a route of it is still to be delivered."""

    @field_validator("admin_email")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value:
            parse_address(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, value: str) -> str:
        if value and not _is_base(value):
            raise ValueError("expected https://HOST, with or without a path; http is only for this network's addresses")
        return value.rstrip("/")


def _is_base(url: str) -> bool:
    """Return whether paths can be appended to a URL, and whether it is safe: plain HTTP only on this network."""
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or set(url) & set(' <>"?#@'):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_near(host or "")))


def _is_near(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost"
