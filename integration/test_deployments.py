"""Deployments that differ: a country database, a plugin that is not installed, a database of an earlier version."""

import asyncio
from pathlib import Path

import mmdb_writer
import pytest
from full_stack import images
from full_stack.people import game_of, play
from full_stack.stack import Shape
from netaddr import IPSet

from conftest import Stacks

SCHEMAS = Path(__file__).parent / "schemas"


async def test_countries_are_counted(stacks: Stacks, tmp_path: Path) -> None:
    """Whoever comes over the gateway is counted in the country of their address, which operators see."""
    database = mmdb_writer.MMDBWriter(database_type="test-country", ip_version=4, ipv4_compatible=False)
    private = IPSet(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])  # where Docker's networks are
    database.insert_network(private, {"country": {"iso_code": "NO"}})
    database.to_db_file(str(tmp_path / "countries.mmdb"))
    settings = {"BACKEND_GEOIP_DB_PATH": "/countries.mmdb"}
    stack = await stacks(Shape(settings=settings, files=((tmp_path / "countries.mmdb", "/countries.mmdb"),)))
    operator = await stack.operator()
    ada = await stack.sign_in("ada@example.test")
    account = await ada.account()
    async with asyncio.timeout(30):
        while not (found := await operator.get(f"/users/{account.id}/countries"))["items"]:
            await asyncio.sleep(0.2)
    assert [each["country"] for each in found["items"]] == ["NO"]
    assert (await operator.get(f"/users/{account.id}"))["declared_country"] == "NO"


@pytest.fixture(scope="session")
def image_without_geo(built: None) -> images.Image:
    images.ensure(images.BACKEND_WITHOUT_GEO)
    return images.BACKEND_WITHOUT_GEO


async def test_a_plugin_that_is_not_installed(stacks: Stacks, image_without_geo: images.Image) -> None:
    """Without the distribution of `geo` its routes do not exist, and a game is played as ever."""
    stack = await stacks(Shape(image=image_without_geo))
    operator = await stack.operator()
    assert (await operator.ask("GET", "/geo/summary"))[0] == 404
    ada = await stack.sign_in("ada@example.test")
    game = await game_of([ada], machines=1)
    shown = await play([ada], game, until=1)
    assert shown.ended or shown.turn == 1


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.sql")), ids=lambda path: path.stem)
async def test_an_upgrade_keeps_what_is_there(stacks: Stacks, schema: Path) -> None:
    """A database of an earlier version comes up by itself, with the account that it held."""
    stack = await stacks(Shape(schema=schema))
    operator = await stack.operator()
    former = await operator.get("/users?email=ada@example.test")
    ada = await stack.sign_in("ada@example.test")
    assert [each["id"] for each in former["items"]] == [str((await ada.account()).id)]
