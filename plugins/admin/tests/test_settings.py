"""The plugin's settings."""

import pytest
from pydantic import SecretStr, ValidationError

from galaxy_admin.settings import AdminSettings

FIRST = "the first password"


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("root", None),
        (None, SecretStr(FIRST)),
        ("ro:ot", SecretStr(FIRST)),
        ("root", SecretStr("eleven char")),
        ("root", SecretStr("x")),
    ],
)
def test_a_bootstrap_that_lets_nobody_in_is_refused(user: str | None, password: SecretStr | None) -> None:
    """Half of the pair is refused, a name that HTTP Basic cannot carry, and a password below 12 characters."""
    with pytest.raises(ValidationError, match="expected"):
        AdminSettings(bootstrap_user=user, bootstrap_password=password)
