"""Settings of the rate limits."""

import pytest
from pydantic import ValidationError

from galaxy_chassis.config.loading import describe
from galaxy_gateway.limits.settings import LimitSettings


def test_variables_are_named_and_documented() -> None:
    """Each has the prefix, a default, and a sentence that says how to switch it off."""
    variables = describe("gateway", LimitSettings)
    assert [variable.name.removeprefix("GATEWAY_LIMIT_") for variable in variables] == [
        *("ADDRESS", "ACCOUNT", "CODES", "SIGN_INS", "GAMES", "ORDERS", "ENGINE")
    ]
    assert all(variable.doc.endswith("; 0: no limit.") for variable in variables)


@pytest.mark.parametrize("quota", [-1, 1_000_001, "many", 1.5])
def test_a_quota_is_a_whole_number(quota: object) -> None:
    """From 0 to a million, the most that microseconds can tell apart."""
    with pytest.raises(ValidationError):
        LimitSettings.model_validate({"orders": quota})
