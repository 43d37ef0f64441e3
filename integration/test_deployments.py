"""Deployments that differ: a country database, a plugin that is not installed, a database of an earlier version."""

import asyncio
from pathlib import Path

import aiohttp
import mmdb_writer
import pytest
from full_stack import images
from full_stack.people import game_of, play
from full_stack.stack import Shape, Stack
from netaddr import IPSet

from conftest import Stacks

SCHEMAS = Path(__file__).parent / "schemas"


async def test_countries_are_counted(stacks: Stacks, tmp_path: Path) -> None:
    """Whoever comes over the gateway is counted in the country of their address, which operators see."""
    database = mmdb_writer.MMDBWriter(6, "GeoLite2-Country", ipv4_compatible=True)
    database.insert_network(IPSet(["81.2.69.0/24"]), {"country": {"iso_code": "NO"}})
    database.to_db_file(str(tmp_path / "countries.mmdb"))
    shape = Shape(
        settings={"BACKEND_GEOIP_DB_PATH": "/countries.mmdb"},
        files=((tmp_path / "countries.mmdb", "/countries.mmdb"),),
        gateway_settings={"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"},  # Docker's networks
    )
    stack = await stacks(shape)
    token, account = await _signed_in_from("81.2.69.142", stack)
    url = f"{stack.gateways[0].url}/api/v1/user/account"
    async with aiohttp.ClientSession(headers=_from("81.2.69.142", token)) as client, client.get(url) as answer:
        assert (await answer.json())["declared_country"] == "NO"
    operator = await stack.operator()
    async with asyncio.timeout(30):
        while not (found := await operator.get(f"/users/{account}/countries"))["items"]:
            await asyncio.sleep(0.2)
    assert [each["country"] for each in found["items"]] == ["NO"]


async def _signed_in_from(address: str, stack: Stack) -> tuple[str, str]:
    """Sign in over a proxy that names the client; return the token and the account's id."""
    public = f"{stack.gateways[0].url}/api/v1/public/auth"
    async with aiohttp.ClientSession(headers=_from(address)) as client:
        async with client.post(f"{public}/send-email-code", json={"email": "ada@example.test"}) as answer:
            challenge = (await answer.json())["challenge_id"]
        body = {"challenge_id": challenge, "code": await stack.mail.code("ada@example.test")}
        async with client.post(f"{public}/confirm-email-code", json=body) as answer:
            session = await answer.json()
    return session["session_token"], session["account"]["id"]


def _from(address: str, token: str = "") -> dict[str, str]:
    return {"X-Forwarded-For": address, **({"Authorization": f"Bearer {token}"} if token else {})}


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


async def test_a_turkish_database(stacks: Stacks) -> None:
    """Where the database folds I to another letter than we do, an address is still one account's, and goes with it."""
    stack = await stacks(Shape(initdb="--locale-provider=icu --icu-locale=tr"))
    assert await stack.sql("SELECT lower('ISIK')") == "ısık"
    ada = await stack.sign_in("ISIK@example.test")
    account = await ada.account()
    operator = await stack.operator()
    assert [each["id"] for each in (await operator.get("/users?email=isik@example.test"))["items"]] == [str(account.id)]
    await ada.delete_account()
    assert (await operator.get("/mail/deliveries?recipient=isik@example.test"))["total"] == 0


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.sql")), ids=lambda path: path.stem)
async def test_an_upgrade_keeps_what_is_there(stacks: Stacks, schema: Path) -> None:
    """A database of an earlier version comes up by itself, with the account that it held."""
    stack = await stacks(Shape(schema=schema))
    operator = await stack.operator()
    former = await operator.get("/users?email=ada@example.test")
    ada = await stack.sign_in("ada@example.test")
    assert [each["id"] for each in former["items"]] == [str((await ada.account()).id)]
