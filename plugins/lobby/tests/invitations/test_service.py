"""Invitations: by account, by address, and what an answer gives away."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

GAMES, INVITATIONS = "/api/v1/user/games", "/api/v1/user/invitations"


async def invite(world: Any, owner: Any, game: str, status: int = 201, **body: Any) -> Any:
    """Invite somebody, and return the answer."""
    return await world.do(owner, "POST", f"/{game}/invitations", status, json=body)


async def invited(world: Any, user: Any) -> list[Any]:
    """Return a player's invitations."""
    status, page = await world.ask("GET", INVITATIONS, user)
    assert status == 200, page
    items: list[Any] = page["items"]
    return items


async def answer(world: Any, user: Any, invitation: str, word: str) -> tuple[int, Any]:
    """Accept or decline."""
    status, found = await world.ask("POST", f"{INVITATIONS}/{invitation}/{word}", user)
    return status, found


async def test_a_private_game_takes_who_is_invited(world: Any) -> None:
    """Others do not know of it; the invited see it, accept and play."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.opened(ada, ada, visibility="private", max_players=3)
    assert (await world.ask("POST", f"{GAMES}/{game}/join", bob))[0] == 404
    made = await invite(world, ada, game, account_id=str(bob.id))
    assert world.told("invited") == [("invited", {"Bob"})]
    [shown] = await invited(world, bob)
    assert (shown["id"], shown["game_id"], shown["game"], shown["inviter"]) == (made["id"], game, "Andromeda", "Ada")
    assert (await world.show(bob, game))["state"] == "enrolling"
    status, joined = await answer(world, bob, made["id"], "accept")
    assert (status, joined["enrolled"]) == (200, 2)
    assert (await answer(world, bob, made["id"], "accept"))[0] == 200
    assert await invited(world, bob) == []
    assert (await world.ask("GET", f"{GAMES}/{game}", cleo))[0] == 404
    assert (await answer(world, cleo, made["id"], "accept"))[0] == 404


async def test_who_is_invited_to_a_draft_waits_until_it_opens(world: Any) -> None:
    """The invited see the draft and hear why they cannot join yet; then they do. Others know nothing of it."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.create(ada)
    made = await invite(world, ada, game, account_id=str(bob.id))
    status, problem = await answer(world, bob, made["id"], "accept")
    assert (status, problem["code"]) == (409, "game_not_enrolling")
    assert (await world.show(bob, game))["state"] == "draft"
    assert (await world.ask("GET", f"{GAMES}/{game}", cleo))[0] == 404
    await world.do(ada, "POST", f"/{game}/open-enrolment")
    assert (await answer(world, bob, made["id"], "accept"))[0] == 200


async def test_joining_a_private_game_uses_the_invitation_up(world: Any) -> None:
    """Whoever leaves a private game needs a new one."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, visibility="private")
    made = await invite(world, ada, game, account_id=str(bob.id))
    await world.do(bob, "POST", f"/{game}/join")
    await world.do(bob, "POST", f"/{game}/leave")
    assert (await world.ask("POST", f"{GAMES}/{game}/join", bob))[0] == 404
    assert (await answer(world, bob, made["id"], "accept"))[0] == 404
    await invite(world, ada, game, account_id=str(bob.id))
    await world.do(bob, "POST", f"/{game}/join")


async def test_an_address_tells_nothing_of_accounts(world: Any) -> None:
    """The answer for an address with an account is that for one without: a row, and no word of who it is."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, visibility="private")
    known = await invite(world, ada, game, email="BOB@example.test")
    unknown = await invite(world, ada, game, email="nobody@example.test")
    assert known.keys() == unknown.keys()
    assert {key: value for key, value in known.items() if key != "id"} == {
        key: value for key, value in unknown.items() if key != "id"
    }
    assert world.told("invited") == [("invited", {"Bob"})]
    [mail] = world.fakes.outbox.messages
    assert (mail.kind, mail.recipient) == ("lobby.invitation", "nobody@example.test")
    assert (mail.parameters["game"], mail.parameters["inviter"]) == ("Andromeda", "Ada")
    assert [each["id"] for each in await invited(world, bob)] == [known["id"]]
    dump = await world.rows("SELECT i::text FROM invitations i")
    assert not any("example" in row[0] for row in dump)


async def test_invitations_by_two_ways_are_two(world: Any) -> None:
    """Were an address matched with an account, the id would give it away; joining answers both."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, visibility="private")
    by_account = await invite(world, ada, game, account_id=str(bob.id))
    by_email = await invite(world, ada, game, email="bob@example.test")
    assert by_account["id"] != by_email["id"]
    assert (await answer(world, bob, by_email["id"], "accept"))[0] == 200
    assert await world.rows("SELECT DISTINCT state FROM invitations") == [("accepted",)]


async def test_a_newcomer_finds_the_invitation_of_their_address(world: Any) -> None:
    """Who signs in later with the invited address sees the game and accepts."""
    ada = world.account("Ada")
    game = await world.opened(ada, visibility="private")
    made = await invite(world, ada, game, email="Zoë@example.test")
    zoe = world.account("Zoe", email="zoë@EXAMPLE.test")
    assert [each["id"] for each in await invited(world, zoe)] == [made["id"]]
    assert (await answer(world, zoe, made["id"], "accept"))[0] == 200


async def test_both_must_agree(world: Any) -> None:
    """An account and an address that are not one person's are refused; those that are make one invitation."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada)
    problem = await invite(world, ada, game, 422, account_id=str(bob.id), email="cleo@example.test")
    assert problem["errors"][0]["field"] == "email"
    both = await invite(world, ada, game, account_id=str(bob.id), email="Bob@Example.test")
    assert (await invite(world, ada, game, account_id=str(bob.id)))["id"] == both["id"]
    assert world.told("invited") == [("invited", {"Bob"})]


async def test_who_cannot_be_invited(world: Any) -> None:
    """Unknown and deleted accounts, members, and anybody once the game has started."""
    ada, bob = world.account("Ada"), world.account("Bob")
    gone = world.account("Gone", email=None, deleted_at=world.clock.now())
    game = await world.opened(ada, bob)
    for unknown in (uuid4(), gone.id):
        assert (await invite(world, ada, game, 422, account_id=str(unknown)))["errors"][0]["field"] == "account_id"
    assert (await invite(world, ada, game, 409, account_id=str(bob.id)))["code"] == "already_member"
    await world.do(ada, "POST", f"/{game}/start", 202)
    assert (await invite(world, ada, game, 409, email="x@example.test"))["code"] == "game_not_enrolling"
    for body in ({}, {"account_id": None}, {"email": "no address"}):
        assert (await world.ask("POST", f"{GAMES}/{game}/invitations", ada, json=body))[0] == 422


async def test_a_repeated_invitation_is_the_same(world: Any) -> None:
    """However often and at once somebody is invited, there is one invitation, told of once."""
    ada = world.account("Ada")
    game = await world.opened(ada)
    made = await asyncio.gather(*(invite(world, ada, game, email="x@example.test") for _ in range(10)))
    assert len({each["id"] for each in made}) == 1
    assert len(world.fakes.outbox.messages) == 1


async def test_declining(world: Any) -> None:
    """A declined invitation opens nothing, and the owner may ask again."""
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, visibility="private")
    made = await invite(world, ada, game, account_id=str(bob.id))
    assert (await answer(world, bob, made["id"], "decline"))[0] == 204
    assert (await answer(world, bob, made["id"], "decline"))[0] == 204
    status, _ = await answer(world, bob, made["id"], "accept")
    assert status == 409
    assert (await world.ask("GET", f"{GAMES}/{game}", bob))[0] == 404
    assert (await invite(world, ada, game, account_id=str(bob.id)))["id"] != made["id"]


async def test_invitations_run_out(make_world: Any) -> None:
    """One that has run out opens nothing, is not listed, and makes room for another; the worker closes it."""
    world = await make_world(invitation_ttl="1h")
    ada, bob = world.account("Ada"), world.account("Bob")
    game = await world.opened(ada, visibility="private")
    made = await invite(world, ada, game, account_id=str(bob.id))
    world.clock.advance(timedelta(hours=1))
    assert await invited(world, bob) == []
    status, problem = await answer(world, bob, made["id"], "accept")
    assert (status, problem["code"]) == (409, "invitation_closed")
    assert (await world.ask("POST", f"{GAMES}/{game}/join", bob))[0] == 404
    again = await invite(world, ada, game, account_id=str(bob.id))
    assert again["id"] != made["id"]
    assert Counter(await world.rows("SELECT state FROM invitations")) == {("expired",): 1, ("pending",): 1}


async def test_invitations_a_day(make_world: Any) -> None:
    """A player's invitations are counted over all games, for a day, however many are made at once."""
    world = await make_world(invitations_per_day="3")
    ada = world.account("Ada")
    games = [await world.opened(ada, max_players=8) for _ in range(2)]
    path = [f"{GAMES}/{game}/invitations" for game in games]
    asked = [(path[number % 2], {"json": {"email": f"p{number}@example.test"}}) for number in range(8)]
    answers = await asyncio.gather(*(world.ask("POST", where, ada, **body) for where, body in asked))
    assert Counter(status for status, _ in answers) == {201: 3, 429: 5}
    world.clock.advance(timedelta(days=1))
    await invite(world, ada, games[0], email="later@example.test")


@pytest.mark.parametrize("word", ["accept", "decline"])
async def test_unknown_invitations_are_404(world: Any, word: str) -> None:
    """Whoever guesses an id, or knows somebody else's, learns nothing."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    made = await invite(world, ada, await world.opened(ada), account_id=str(bob.id))
    for invitation in (str(uuid4()), made["id"]):
        assert (await answer(world, cleo, invitation, word))[0] == 404


async def test_a_full_game_leaves_the_invitation_open(world: Any) -> None:
    """Who comes too late may try again when somebody leaves."""
    ada, bob, cleo = world.account("Ada"), world.account("Bob"), world.account("Cleo")
    game = await world.opened(ada, ada, max_players=2)
    made = await invite(world, ada, game, account_id=str(bob.id))
    await world.do(cleo, "POST", f"/{game}/join")
    status, problem = await answer(world, bob, made["id"], "accept")
    assert (status, problem["code"]) == (409, "game_full")
    await world.do(cleo, "POST", f"/{game}/leave")
    assert (await answer(world, bob, made["id"], "accept"))[0] == 200
