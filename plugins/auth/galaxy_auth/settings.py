"""The plugin's settings."""

from datetime import timedelta
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import Field

from galaxy_kernel.api import Duration, Settings

_Positive = Annotated[Duration, Ge(timedelta(seconds=1))]


class AuthSettings(Settings):
    """Codes, their throttles, and how long sessions last."""

    code_ttl: Annotated[_Positive, Le(timedelta(hours=1))] = timedelta(minutes=5)
    """How long a code is valid; its mail is not sent later than that."""
    resend_interval: Annotated[Duration, Ge(timedelta(0)), Le(timedelta(days=1))] = timedelta(seconds=60)
    """How long one address waits between two codes."""
    codes_per_email_per_day: int = Field(default=20, ge=1, le=10_000)
    """Most codes for one address in any 24 hours."""
    codes_per_ip_per_hour: int = Field(default=60, ge=1, le=1_000_000)
    """Most codes requested from one client address (of IPv6 one /64 network) in any hour."""
    session_ttl: _Positive = timedelta(days=90)
    """How long a session lasts at most, however much it is used."""
    session_idle_ttl: _Positive = timedelta(days=30)
    """How long a session lasts unused."""
