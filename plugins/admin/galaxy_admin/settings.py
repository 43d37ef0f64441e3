"""Settings of the admin plugin."""

from pydantic import SecretStr

from galaxy_kernel.api import Settings


class AdminSettings(Settings):
    """How the first operator gets in."""

    bootstrap_user: str | None = None
    """Name of the first admin, made at start while there is none."""
    bootstrap_password: SecretStr | None = None
    """Password of the first admin; it opens only the route that changes it."""
