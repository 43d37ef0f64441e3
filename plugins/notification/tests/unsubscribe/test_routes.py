"""The operations behind a link: a page that mutes nothing, and the POST that mutes."""

import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from galaxy_contracts.accounts import ACCOUNTS
from galaxy_notification.unsubscribe.domain import PATH

USER = "/api/v1/user/notifications"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PUBLIC = "https://play.test"


@pytest.fixture
async def world(make_world: Any) -> Any:
    """Return the plugin with a public address."""
    return await make_world(public_url=f"{PUBLIC}/")


async def link_to(world: Any, account: Any, key: str = "key", kind: str = "lobby.turn_ready") -> str | None:
    """Submit a notification and return the link of its mail, as a path of the API."""
    await world.settled(await world.submit(account, key=key, kind=kind, game="Andromeda", turn=7))
    url: str | None = world.mails[-1].unsubscribe_url
    assert url is None or url.startswith(f"{PUBLIC}{PATH}/")
    return None if url is None else urlsplit(url).path


async def open_page(world: Any, path: str) -> tuple[int, str]:
    async with world.booted.client.get(path) as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "form-action 'self'" in response.headers["Content-Security-Policy"]
        return response.status, await response.text()


async def post(world: Any, path: str, data: Any) -> tuple[int, str]:
    async with world.booted.client.post(path, data=data) as response:
        return response.status, await response.text()


async def muted(world: Any) -> set[tuple[Any, str, str]]:
    return {tuple(row) for row in await world.execute("SELECT account_id, kind, channel FROM notification_mutes")}


async def test_one_click_mutes_the_kind_by_mail(world: Any) -> None:
    """The next mail of the kind is skipped; its push event and the other kinds go on."""
    ada, bob = world.account(), world.account("bob@example.test")
    path = await link_to(world, ada)
    assert (await post(world, path, ONE_CLICK))[0] == 200
    found = await world.submit(ada, bob, key="next")
    assert await world.settled(found) == {
        ("email", "skipped", "preference"),
        ("email", "sent", None),
        ("push", "sent", None),
    }
    assert [mail.recipient for mail in world.mails] == ["ada@example.test", "bob@example.test"]
    _, page = await world.ask("GET", f"{USER}/preferences", ada)
    assert {(item["kind"], item["channel"]) for item in page["items"] if not item["enabled"]} == {
        ("lobby.turn_ready", "email")
    }


async def test_a_mail_provider_posts_parts(world: Any) -> None:
    """The form may be sent as multipart/form-data, which RFC 8058 prefers."""
    account = world.account()
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("List-Unsubscribe", "One-Click")
    assert (await post(world, await link_to(world, account), form))[0] == 200
    assert await muted(world) == {(account.id, "lobby.turn_ready", "email")}


async def test_a_scanner_that_opens_links_mutes_nothing(world: Any) -> None:
    """GET and HEAD show a page with a button; whatever opens it changes nothing."""
    path = await link_to(world, world.account(language="de"))
    status, html = await open_page(world, path)
    assert status == 200
    assert "A turn is ready." in html and '<html lang="de">' in html and "Abbestellen" in html
    async with world.booted.client.head(path) as response:
        assert response.status == 200
    assert await muted(world) == set()
    button = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', html)
    assert dict(button) == ONE_CLICK
    status, html = await post(world, path, dict(button))
    assert (status, "<form" in html) == (200, False)
    assert len(await muted(world)) == 1


async def test_a_click_can_be_repeated_and_undone(world: Any) -> None:
    """A second click changes nothing; switched on again in the preferences, mails come again, with the same link."""
    account = world.account()
    path = await link_to(world, account)
    for _ in range(2):
        assert (await post(world, path, ONE_CLICK))[0] == 200
    choice = {"kind": "lobby.turn_ready", "channel": "email", "enabled": True}
    assert (await world.ask("PUT", f"{USER}/preferences", account, json=choice))[0] == 200
    assert await muted(world) == set()
    assert await link_to(world, account, key="again") == path
    assert len(world.mails) == 2


@pytest.mark.parametrize("data", [{}, {"List-Unsubscribe": "Two-Clicks"}, {**ONE_CLICK, "more": "1"}])
async def test_another_form_mutes_nothing(world: Any, data: Any) -> None:
    """The form must be that of RFC 8058."""
    status, _ = await post(world, await link_to(world, world.account()), data)
    assert status == 422
    assert await muted(world) == set()


async def test_a_link_that_is_not_ours(world: Any) -> None:
    """A forged, cut or mangled link is 404, with a page, and mutes nothing."""
    path = await link_to(world, world.account())
    for wrong in (f"{PATH}/x", path[:-2], f"{path}A", path.replace("/unsubscribe/", "/unsubscribe/A")):
        status, html = await open_page(world, wrong)
        assert status == 404 and "not valid" in html
        assert (await post(world, wrong, ONE_CLICK))[0] == 404
    assert await muted(world) == set()


async def test_mandatory_kinds_have_no_link(world: Any) -> None:
    """A mail that cannot be switched off, and one to operators, offer nothing."""
    assert await link_to(world, world.account(), kind="auth.warning") is None


async def test_a_kind_that_became_mandatory(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link of an earlier version says that it cannot be switched off, and mutes nothing."""
    account = world.account()
    path = await link_to(world, account)
    kinds = world.notifications._catalogue._kinds
    name = "lobby.turn_ready"
    monkeypatch.setitem(kinds, name, msgspec.structs.replace(kinds[name], mandatory=True))
    assert (await open_page(world, path))[0] == 409
    status, html = await post(world, path, ONE_CLICK)
    assert (status, "cannot be switched off" in html) == (409, True)
    assert await muted(world) == set()


async def test_a_deleted_account(world: Any) -> None:
    """Its links answer as if they had muted, and nothing is kept for it."""
    account = world.account()
    path = await link_to(world, account)
    world.fakes[ACCOUNTS].accounts[account.id] = msgspec.structs.replace(
        account, email=None, deleted_at=world.clock.now()
    )
    assert (await post(world, path, ONE_CLICK))[0] == 200
    assert await muted(world) == set()


async def test_without_a_public_address(make_world: Any) -> None:
    """Mails have no link, and everything else is as ever."""
    world = await make_world()
    assert await link_to(world, world.account()) is None
    assert len(world.mails) == 1
