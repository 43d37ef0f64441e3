"""When a game's turns run: the value that games carry, and its words.

`{"interval": "1d"}` is a grid of equal steps; `{"cron": "0 18 * * mon,thu", "time_zone": "Europe/Vienna"}` are five
cron fields in a zone. Both may say `at_least`, the shortest time a turn may last.
"""

from datetime import timedelta

import msgspec


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either `interval`, or `cron` with `time_zone`."""

    interval: timedelta | None = None
    cron: str | None = None
    time_zone: str | None = None
    """IANA name."""
    at_least: timedelta | None = None
