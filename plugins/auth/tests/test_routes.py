"""The HTTP operations: shapes, access and refusals."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from galaxy_contracts.testing import FakeCountries
from galaxy_devkit.testing.kernel import GATEWAY_TOKEN

INTROSPECT = "/api/v1/internal/sessions/introspect"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "nobody",
        "a@b.test\r\nBcc: c@d.test",
        "a b@c.test",
        "a@",
        "@b.test",
        "a\u0000@b.test",
        "a" * 255 + "@b.test",
        7,
        None,
    ],
)
async def test_bad_addresses(world: Any, email: Any) -> None:
    """A bad address is 422 and names the field; nothing is sent."""
    status, problem = await world.send(email)
    assert (status, problem["code"], problem["errors"][0]["field"]) == (422, "invalid_request", "email")
    assert world.outbox.messages == []


@pytest.mark.parametrize("email", ["player@example.test", "a@localhost", "x@bücher.example", "почта@пример.рф"])
async def test_good_addresses(world: Any, email: str) -> None:
    """Addresses of test domains and internationalised ones sign in."""
    signed_in = await world.sign_in(email)
    assert signed_in["account"]["email"] == email


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"challenge_id": "x"}, "challenge_id"),
        ({"code": ""}, "code"),
        ({"code": 12345678}, "code"),
        ({"device_name": 7}, "device_name"),
        ({"time_zone": 7}, "time_zone"),
        ({"language": ["en"]}, "language"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_bad_confirmations(world: Any, body: dict[str, Any], field: str) -> None:
    """A bad confirmation is 422 and names the field."""
    good = {"challenge_id": "00000000-0000-4000-8000-000000000000", "code": "12345678"}
    status, problem = await world.ask("POST", "/api/v1/public/auth/confirm-email-code", json={**good, **body})
    assert (status, problem["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("hints", "language", "time_zone", "device"),
    [
        ({"language": "en_US"}, "en-US", "UTC", None),
        ({"language": "de_AT.UTF-8"}, "de-AT", "UTC", None),
        ({"language": "de_DE@euro"}, "de-DE", "UTC", None),
        ({"language": "C"}, "fr", "UTC", None),
        ({"language": "POSIX"}, "fr", "UTC", None),
        ({"language": "x" * 1000}, "fr", "UTC", None),
        ({"time_zone": "Etc/Unknown"}, "fr", "UTC", None),
        ({"time_zone": ""}, "fr", "UTC", None),
        ({"time_zone": " Europe/Vienna\n"}, "fr", "Europe/Vienna", None),
        ({"device_name": "x" * 5000}, "fr", "UTC", "x" * 80),
        ({"device_name": " Ada's\tphone\u200b\n"}, "fr", "UTC", "Ada's phone"),
        ({"device_name": ""}, "fr", "UTC", "Unknown device"),
        ({"device_name": "\u3164\u200b"}, "fr", "UTC", "Unknown device"),
        ({"device_name": "\ud83d\ude80" * 90}, "fr", "UTC", "\U0001f680" * 80),
    ],
)
async def test_what_a_client_gathers_by_itself_refuses_no_sign_in(
    world: Any, hints: dict[str, Any], language: str, time_zone: str, device: str | None
) -> None:
    """Language, time zone and name of the device are tidied, or dropped where nothing can be made of them."""
    challenge, code = await world.challenge(locale="fr_FR.UTF-8" if "language" not in hints else "fr")
    body = {"challenge_id": challenge, "code": code, **hints}
    status, answer = await world.ask("POST", "/api/v1/public/auth/confirm-email-code", json=body)
    assert status == 201, answer
    account = answer["account"]
    assert account["time_zone"] == time_zone
    assert account["language"] == ("fr-FR" if "language" not in hints else language)
    if device is not None:
        _, sessions = await world.ask("GET", "/api/v1/user/sessions", token=answer["session_token"])
        assert sessions["items"][0]["device_name"] == device


async def test_a_locale_that_is_none_refuses_no_code(world: Any) -> None:
    """The mail comes in the default language."""
    assert (await world.send(locale="C.UTF-8"))[0] == 202
    assert world.outbox.messages[0].language == "en"


async def test_nulls_stand_for_what_is_not_said(world: Any) -> None:
    """Optional fields may be null."""
    challenge, code = await world.challenge(locale=None)
    status, answer = await world.confirm(challenge, code, device_name=None, time_zone=None, language=None)
    assert (status, answer["account"]["language"], answer["account"]["time_zone"]) == (201, "en", "UTC")


async def test_introspection(world: Any) -> None:
    """The gateway learns the session of a token, and that any other string is not active."""
    signed_in = await world.sign_in()
    gateway = {"X-Gateway-Token": GATEWAY_TOKEN}

    async def introspect(token: str) -> Any:
        status, answer = await world.ask("POST", INTROSPECT, headers=dict(gateway), json={"session_token": token})
        assert status == 200
        return {key: value for key, value in answer.items() if key != "retry_after"}

    assert await introspect(signed_in["session_token"]) == {
        "active": True,
        "account_id": signed_in["account"]["id"],
        "session_id": signed_in["session_id"],
        "expires_at": "2030-04-01T00:00:00Z",
    }
    nothing = {"active": False, "account_id": None, "session_id": None, "expires_at": None}
    assert await introspect("gxs_" + "A" * 43) == nothing
    await world.ask("DELETE", f"/api/v1/user/sessions/{signed_in['session_id']}", token=signed_in["session_token"])
    assert await introspect(signed_in["session_token"]) == nothing


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", INTROSPECT),
        ("GET", "/api/v1/user/sessions"),
        ("DELETE", "/api/v1/user/sessions"),
        ("DELETE", "/api/v1/user/sessions/00000000-0000-4000-8000-000000000000"),
    ],
)
async def test_closed_to_anonymous(world: Any, method: str, path: str) -> None:
    """Without credentials the operations are closed."""
    assert (await world.ask(method, path, json={}))[0] == 401


async def test_requests_are_counted_by_country(make_world: Any) -> None:
    """Each request with a good token counts for its account and country; a bad token and an introspection do not."""
    countries = FakeCountries({"192.0.2.1": "AT"})
    world = await make_world(countries=countries)
    signed_in = await world.sign_in()
    token, account = signed_in["session_token"], UUID(signed_in["account"]["id"])
    assert not countries.counted
    for address in ("192.0.2.1", "192.0.2.1", "198.51.100.1"):
        assert (await world.ask("GET", "/api/v1/user/sessions", token=token, address=address))[0] == 200
    await world.ask("GET", "/api/v1/user/sessions", token="gxs_" + "A" * 43, address="192.0.2.1")
    await world.ask("POST", INTROSPECT, address="192.0.2.1", json={"session_token": token})
    assert countries.counted == {(account, "AT"): 2, (account, "ZZ"): 1}


async def test_a_country_is_declared_once(make_world: Any) -> None:
    """An account has the country of its first sign-in, where geo knows it, whatever the later ones are."""
    world = await make_world(countries=FakeCountries({"192.0.2.1": "AT", "198.51.100.1": "DE"}))
    for address in ("192.0.2.1", "198.51.100.1"):
        world.clock.advance(timedelta(minutes=1))
        challenge_id, code = await world.challenge()
        path, body = "/api/v1/public/auth/confirm-email-code", {"challenge_id": challenge_id, "code": code}
        status, signed_in = await world.ask("POST", path, address=address, json=body)
        assert (status, signed_in["account"]["declared_country"]) == (201, "AT")


async def test_without_geo_no_country_is_declared(world: Any) -> None:
    """Without geo the account's country stays empty."""
    assert (await world.sign_in())["account"]["declared_country"] is None
