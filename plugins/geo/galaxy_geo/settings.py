"""The plugin's settings."""

from pathlib import Path
from typing import ClassVar

from galaxy_kernel.api import Settings


class GeoSettings(Settings):
    """The country database."""

    prefix: ClassVar[str | None] = "BACKEND_GEOIP_"

    db_path: Path | None = None
    """Country database (.mmdb), of MaxMind's schema or the flat one with `country_code`; read again when it changes."""
