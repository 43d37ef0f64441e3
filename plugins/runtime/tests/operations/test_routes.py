"""What operators see of games on their engines, and ask for."""

from typing import Any


async def test_operators_see_games_and_operations(world: Any) -> None:
    """The list, one game and its operations; nothing secret is among it."""
    launch = world.a_launch()
    await world.finished(await world.launch(launch))
    status, page = await world.ask("GET", "?status=healthy&ended=false")
    assert (status, page["total"], page["items"][0]["game_id"]) == (200, 1, str(launch.game_id))
    status, shown = await world.ask("GET", f"/{launch.game_id}")
    assert (status, shown["turn"], shown["seats"]["1"]["name"]) == (200, 0, "Player 1")
    assert "seed" not in shown
    status, log = await world.ask("GET", f"/{launch.game_id}/operations")
    assert [(each["operation"], each["outcome"], each["actor_kind"]) for each in log["items"]] == [
        ("start", "succeeded", "owner")
    ]
    status, turns = await world.ask("GET", f"/{launch.game_id}/turns")
    (made,) = turns["items"]
    assert (status, made["turn"], made["trigger"], made["missed_ticks"]) == (200, 0, "start", 0)
    digests = await world.rows("SELECT encode(state_digest, 'hex'), orders_digest FROM runtime_turns")
    assert [(made["state_digest"], made["orders_digest"])] == digests
    assert not {"seed", "state", "public_report"} & set(made)
    missing = "01890a5d-ac96-774b-bcce-b302099a8057"
    for path in ("", "/operations", "/turns"):
        assert (await world.ask("GET", f"/{missing}{path}"))[0] == 404
    assert (await world.ask("POST", f"/{missing}/stop"))[0] == 404


async def test_operators_operate(world: Any) -> None:
    """Each operation is accepted with its id, which the log has with who asked."""
    launch = world.a_launch()
    await world.finished(await world.launch(launch))
    for what in ("restart", "stop", "start"):
        status, accepted = await world.ask("POST", f"/{launch.game_id}/{what}")
        assert status == 202, accepted
        row = await world.finished(accepted["operation_id"])
        assert (row.operation, row.outcome, row.actor_kind) == (what, "succeeded", "operator")
    to = world.fakes.versions.add("1.0.7", engine="double")
    status, accepted = await world.ask("POST", f"/{launch.game_id}/patch", json={"engine_version_id": str(to.id)})
    assert (status, (await world.finished(accepted["operation_id"])).outcome) == (202, "succeeded")
    status, refused = await world.ask("POST", f"/{launch.game_id}/patch", json={"engine_version_id": str(to.id)})
    assert (status, refused["code"]) == (409, "patch_refused")
    status, accepted = await world.ask("POST", f"/{launch.game_id}/force-next-turn")
    assert status == 202
