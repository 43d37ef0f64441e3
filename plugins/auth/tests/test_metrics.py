"""The plugin's metrics."""

from typing import Any

from galaxy_devkit.testing import Measured


async def test_sign_ins_and_codes_are_counted(world: Any) -> None:
    """Each code that was sent or refused, each wrong one, and each sign-in by whether the account is new."""
    measured = Measured(world.booted)
    await world.sign_in()
    await world.sign_in()
    assert (await world.send())[0] == 429
    challenge_id, _ = await world.challenge("eve@example.test")
    assert (await world.confirm(challenge_id, "00000000"))[0] == 401
    assert measured.values("auth.sign_ins") == {("new",): 1, ("known",): 1}
    assert measured.values("auth.codes_sent") == {(): 3}
    assert measured.values("auth.codes_wrong") == {(): 1}
    assert sum(measured.values("auth.codes_refused").values()) == 1
