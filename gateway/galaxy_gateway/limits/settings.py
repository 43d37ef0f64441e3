"""Settings of the rate limits."""

from typing import Annotated, ClassVar

from pydantic import Field

from galaxy_chassis.config.settings import Settings

Quota = Annotated[int, Field(ge=0, le=1_000_000)]
"""Requests in a window; 0 switches the limit off."""


class LimitSettings(Settings):
    """How much a client may ask for: a burst of the quota at once, which refills evenly over the window; 0 is off.

    IPv6 clients count by /64. What concerns one account counts by address where the caller has no session.
    """

    prefix: ClassVar[str | None] = "GATEWAY_LIMIT_"

    address: Quota = 1200
    """Requests of one address in a minute, whatever they are; 0: no limit."""
    account: Quota = 600
    """Requests of one account in a minute, whatever they are; 0: no limit."""
    codes: Quota = 60
    """Sign-in codes that one address may ask for in an hour; 0: no limit."""
    sign_ins: Quota = 120
    """Sign-in codes that one address may try in an hour; 0: no limit."""
    games: Quota = 30
    """Games that one account may create in an hour; 0: no limit."""
    orders: Quota = 120
    """Sets of orders that one account may send in a minute; 0: no limit."""
    engine: Quota = 60
    """Questions of one account in a minute that an engine answers: options, and dry runs of orders; 0: no limit."""
