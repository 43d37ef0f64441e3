"""The plugin's settings."""

from typing import Self

from pydantic import SecretStr, field_validator, model_validator

from galaxy_admin.domain import CONTROL
from galaxy_admin.strength import SHORTEST_PASSWORD
from galaxy_kernel.api import Settings


class AdminSettings(Settings):
    """The first operator's account."""

    bootstrap_user: str | None = None
    """Name of the first admin, created at start while there is none."""
    bootstrap_password: SecretStr | None = None
    """Password of the first admin, at least 12 characters; it opens only the route that changes it."""

    @field_validator("bootstrap_user")
    @classmethod
    def _can_sign_in(cls, name: str | None) -> str | None:
        if name is not None and (":" in name or CONTROL.search(name)):
            raise ValueError("expected a name without a colon or control characters, which HTTP Basic cannot carry")
        return name

    @field_validator("bootstrap_password")
    @classmethod
    def _can_be_sent(cls, password: SecretStr | None) -> SecretStr | None:
        if password is not None and CONTROL.search(password.get_secret_value()):
            raise ValueError("expected a password without line breaks or other control characters")
        if password is not None and len(password.get_secret_value()) < SHORTEST_PASSWORD:
            raise ValueError(f"expected at least {SHORTEST_PASSWORD} characters")
        return password

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.bootstrap_user is None) != (self.bootstrap_password is None):
            raise ValueError("expected both BOOTSTRAP_USER and BOOTSTRAP_PASSWORD, or neither: one alone has no effect")
        return self
