"""Settings of every process."""

import pytest

from galaxy_chassis.config.process import is_strict


@pytest.mark.parametrize(
    ("text", "strict"), [("true", True), ("", True), ("maybe", True), (" False ", False), ("0", False)]
)
def test_only_a_clear_no_switches_strictness_off(text: str, strict: bool) -> None:
    """It is read before the settings are, so what is not understood counts as the default."""
    assert is_strict(text) is strict
