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
    """How long one address waits between two codes that one network requests."""
    codes_per_email_per_day: int = Field(default=20, ge=1, le=10_000)
    """Most codes for one address that one network requests in any 24 hours; networks that did not sign in to it lately
    together request three times as many. Tags (`name+tag@`) do not count."""
    codes_per_ip_per_hour: int = Field(default=60, ge=1, le=1_000_000)
    """Most codes requested from one client address in any hour: of IPv6 from one /64 network, twice as many from a /56
    and four times as many from a /48."""
    codes_per_hour: int = Field(default=10_000, ge=1, le=10_000_000)
    """Most codes in any hour, for all addresses together, but for networks that signed in to their address lately."""
    wrong_codes_per_hour: int = Field(default=1_000, ge=1, le=10_000_000)
    """Wrong codes in any hour, after which new challenges, but for such networks, have two attempts instead of five."""
    session_ttl: _Positive = timedelta(days=90)
    """How long a session lasts at most, however much it is used."""
    session_idle_ttl: _Positive = timedelta(days=30)
    """How long a session lasts unused."""
