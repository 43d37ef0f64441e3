"""The HTTP operations."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from galaxy_contracts.testing import FakeAdmins

VERSIONS = "/api/v1/admin/engine-versions"
PLAYERS = "/api/v1/user/engine-versions"
DESCRIBE = {
    "contract": 1,
    "engine": "small",
    "version": "1.0.0",
    "title": "Small",
    "players": {"min": 3, "max": 4},
    "options_schema": {"type": "object"},
    "order_schema": {"type": "integer"},
    "capabilities": ["validate"],
}


async def test_adds_a_version(world: Any) -> None:
    """A version needs its number and an image; the rest has defaults, and shows again as it was answered."""
    status, body = await world.ask("POST", VERSIONS, json={"version": "1.4.0-rc.1", "image": "galaxy/game:1.4.0"})
    assert status == 201
    assert UUID(body.pop("id")).version == 7
    assert body == {
        "engine": "default",
        "version": "1.4.0-rc.1",
        "image": "galaxy/game:1.4.0",
        "digest": None,
        "state": "active",
        "notes": "",
        "created_at": "2030-01-01T00:00:00Z",
        "created_by": FakeAdmins.username,
        "check_state": None,
        "checked_at": None,
        "describe": None,
        "check_requested_at": None,
        "check_result": None,
        "in_use": 0,
    }
    full = {"engine": "chess", "notes": "a note", "state": "deprecated"}
    made = await world.add(**full)
    assert {name: made[name] for name in full} == full
    assert await world.show(made["id"]) == made


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"version": None}, "version"),
        ({"version": "1.4"}, "version"),
        ({"version": "v1.4.0"}, "version"),
        ({"version": "1.0.0\n"}, "version"),
        ({"version": "9999999999.0.0"}, "version"),
        ({"version": "1.0.0-" + "a" * 60}, "version"),
        ({"version": ""}, "version"),
        ({"version": 1}, "version"),
        ({"image": None}, "image"),
        ({"image": ""}, "image"),
        ({"image": "a b"}, "image"),
        ({"image": "a\x1bb"}, "image"),
        ({"image": "a\0b"}, "image"),
        ({"image": "a" * 513}, "image"),
        ({"image": "Upper/Case"}, "image"),
        ({"engine": ""}, "engine"),
        ({"engine": "Chess"}, "engine"),
        ({"engine": "a@b"}, "engine"),
        ({"engine": "a" * 65}, "engine"),
        ({"engine": "chess\n"}, "engine"),
        ({"engine": None}, "engine"),
        ({"state": "new"}, "state"),
        ({"notes": "a" * 10_001}, "notes"),
        ({"digest": "sha256:1"}, "digest"),
    ],
)
async def test_refuses_bad_versions(world: Any, fields: dict[str, Any], field: str) -> None:
    """A bad field is 422 and named, at the start and in a change, and nothing is kept."""
    made = await world.add("9.9.9")
    sent = {"version": "1.0.0", "image": "galaxy/game:1", **fields}
    for method, path, body in (("POST", VERSIONS, sent), ("PATCH", f"{VERSIONS}/{made['id']}", fields)):
        status, problem = await world.ask(method, path, json=body)
        assert (status, problem["code"]) == (422, "invalid_request")
        assert [fault["field"] for fault in problem["errors"]] == [field]
    assert (await world.ask("GET", VERSIONS))[1]["items"] == [await _listed(world, made)]


async def _listed(world: Any, made: Any) -> Any:
    return {name: made[name] for name in made if name not in _DETAIL_ALONE}


_DETAIL_ALONE = {"describe", "check_requested_at", "check_result", "in_use"}


@pytest.mark.parametrize("missing", ["version", "image"])
async def test_needs_version_and_image(world: Any, missing: str) -> None:
    """Without one of them nothing is added."""
    body = {"version": "1.0.0", "image": "galaxy/game:1"}
    del body[missing]
    status, problem = await world.ask("POST", VERSIONS, json=body)
    assert (status, problem["errors"]) == (422, [{"field": missing, "message": "is required"}])


async def test_numbers_are_unique_within_an_engine(world: Any) -> None:
    """The same number again is 409, in a change too; of another engine it is not."""
    await world.add("1.0.0")
    other = await world.add("1.0.0", engine="chess")
    status, problem = await world.ask("POST", VERSIONS, json={"version": "1.0.0", "image": "other:1"})
    assert (status, problem["code"]) == (409, "engine_version_taken")
    status, problem = await world.ask("PATCH", f"{VERSIONS}/{other['id']}", json={"engine": "default"})
    assert (status, problem["code"]) == (409, "engine_version_taken")
    assert (await world.show(other["id"]))["engine"] == "chess"


async def test_lists_and_filters(world: Any) -> None:
    """Versions are listed by engine, the highest numbers first, by engine and state where asked, and in pages."""
    for engine, version, state in (
        ("default", "1.9.0", "active"),
        ("default", "1.10.0", "retired"),
        ("chess", "2.0.0", "active"),
        ("default", "1.10.1", "deprecated"),
    ):
        await world.add(version, engine=engine, state=state)

    async def listed(**params: Any) -> list[str]:
        status, page = await world.ask("GET", VERSIONS, params=params)
        assert status == 200, page
        assert page["total"] >= len(page["items"])
        return [each["version"] for each in page["items"]]

    assert await listed() == ["2.0.0", "1.10.1", "1.10.0", "1.9.0"]
    assert await listed(engine="default") == ["1.10.1", "1.10.0", "1.9.0"]
    assert await listed(state="retired") == ["1.10.0"]
    assert await listed(engine="chess", state="retired") == []
    assert await listed(page=2, page_size=3) == ["1.9.0"]
    for params, field in (({"state": "new"}, "state"), ({"engine": "A"}, "engine"), ({"page": 0}, "page")):
        status, problem = await world.ask("GET", VERSIONS, params=params)
        assert (status, problem["errors"][0]["field"]) == (422, field)


async def test_changes_what_was_sent(world: Any) -> None:
    """A change of some fields leaves the others; a new number is known by its numbers too."""
    made = await world.add("1.0.0", notes="first")
    path = f"{VERSIONS}/{made['id']}"
    status, changed = await world.ask("PATCH", path, json={"state": "retired", "notes": ""})
    assert (status, changed) == (200, {**made, "state": "retired", "notes": ""})
    status, changed = await world.ask("PATCH", path, json={"version": "2.3.4", "engine": "chess", "image": "chess:2"})
    assert (status, changed["version"], changed["engine"], changed["image"]) == (200, "2.3.4", "chess", "chess:2")
    version = world.versions.find("chess@2.3.4")
    assert version is not None
    assert (version.major, version.minor, version.patch, version.state) == (2, 3, 4, "retired")
    status, problem = await world.ask("PATCH", path, json={})
    assert (status, problem["errors"][0]["message"]) == (
        422,
        "must hold at least one of state, notes, engine, version and image",
    )


async def test_a_version_in_use_keeps_its_image(world: Any) -> None:
    """State and notes change always; engine, version and image only while no game uses the version."""
    made = await world.add()
    path = f"{VERSIONS}/{made['id']}"
    await world.use(made["id"])
    for change in ({"image": "other:1"}, {"version": "1.0.1"}, {"engine": "chess"}):
        status, problem = await world.ask("PATCH", path, json=change)
        assert (status, problem["code"]) == (409, "engine_version_in_use")
        assert "1 game uses it" in problem["detail"]
    same = {"image": made["image"], "version": made["version"], "engine": made["engine"]}
    status, changed = await world.ask("PATCH", path, json={"state": "deprecated", "notes": "old", **same})
    assert (status, changed) == (200, {**made, "state": "deprecated", "notes": "old", "in_use": 1})
    await world.sql("DELETE FROM games_of_tests")
    assert (await world.ask("PATCH", path, json={"image": "other:1"}))[1]["image"] == "other:1"


async def test_a_new_image_forgets_what_was_found_of_the_former(world: Any) -> None:
    """Digest and description go with the image they are of; the same image again is not a change."""
    made = await world.add()
    async with world.database.transaction() as connection:
        await world.versions.record_start(
            connection, UUID(made["id"]), describe=DESCRIBE, digest="galaxy/game@sha256:1"
        )
    path = f"{VERSIONS}/{made['id']}"
    _, same = await world.ask("PATCH", path, json={"image": made["image"]})
    assert (same["digest"], same["describe"]) == ("galaxy/game@sha256:1", DESCRIBE)
    _, changed = await world.ask("PATCH", path, json={"image": "other:1"})
    assert (changed["digest"], changed["describe"]) == (None, None)
    version = world.versions.get(UUID(made["id"]))
    assert version is not None
    assert (version.digest, version.describe, version.launchable) == (None, None, "other:1")


async def test_deletes(world: Any) -> None:
    """A version that no game uses is deleted, one that some use is not: 409."""
    made, used = await world.add("1.0.0"), await world.add("2.0.0")
    await world.use(used["id"])
    await world.use(used["id"])
    assert await world.ask("DELETE", f"{VERSIONS}/{made['id']}") == (204, None)
    assert world.versions.find("1.0.0") is None
    status, problem = await world.ask("DELETE", f"{VERSIONS}/{used['id']}")
    assert (status, problem["code"]) == (409, "engine_version_in_use")
    assert "2 games use it" in problem["detail"]
    assert world.versions.find("2.0.0") is not None


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PATCH", ""), ("DELETE", "")])
async def test_unknown_versions(world: Any, method: str, path: str) -> None:
    """A version that never was is 404."""
    body = {"json": {"notes": "x"}} if method == "PATCH" else {}
    status, problem = await world.ask(method, f"{VERSIONS}/{uuid4()}{path}", **body)
    assert (status, problem["code"]) == (404, "not_found")


async def test_players_see_what_takes_new_games(world: Any) -> None:
    """Players get active versions alone, the highest first, with what a client needs to create a game."""
    for version, state in (("1.9.0", "active"), ("1.10.0-rc.1", "active"), ("1.10.0", "active"), ("2.0.0", "retired")):
        made = await world.add(version, state=state, notes="for operators")
        if version == "1.9.0":
            async with world.database.transaction() as connection:
                await world.versions.record_start(connection, UUID(made["id"]), describe=DESCRIBE, digest=None)
    await world.add("1.0.0", engine="chess")
    status, page = await world.ask("GET", PLAYERS, player=True)
    assert (status, page["total"]) == (200, 4)
    assert [f"{each['engine']}@{each['version']}" for each in page["items"]] == [
        "chess@1.0.0",
        "default@1.10.0",
        "default@1.10.0-rc.1",
        "default@1.9.0",
    ]
    shown = page["items"][3]
    assert UUID(shown.pop("id"))
    assert shown == {
        "engine": "default",
        "version": "1.9.0",
        "title": "Small",
        "summary": None,
        "players": {"min": 3, "max": 4},
        "options_schema": {"type": "object"},
        "order_schema": {"type": "integer"},
        "capabilities": ["validate"],
    }
    assert (page["items"][0]["players"], page["items"][0]["capabilities"]) == (None, [])
    _, page = await world.ask("GET", PLAYERS, player=True, params={"engine": "default", "page": 2, "page_size": 2})
    assert ([each["version"] for each in page["items"]], page["total"]) == (["1.9.0"], 3)


async def test_a_check_needs_a_driver(world: Any) -> None:
    """Where nothing can start engines, a check is 409 and says what to install."""
    made = await world.add()
    status, problem = await world.ask("POST", f"{VERSIONS}/{made['id']}/check")
    assert (status, problem["code"]) == (409, "engine_driver_missing")
    assert "install galaxy-backend-runtime" in problem["detail"]
    assert (await world.show(made["id"]))["check_state"] is None
