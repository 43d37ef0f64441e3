"""The players' page in a real browser, before `backend dev` as a newcomer runs it."""

import asyncio
import re
import signal
from pathlib import Path
from typing import Any

from page_people import MARKS, NARROW, WIDE, Backend, Person, free_port, people, playwright

GAME_OVER = "#result"
_MOST_TURNS = 11

pytestmark = MARKS


async def planets(person: Person) -> list[dict[str, str]]:
    """Return the planets that may be sent to, as the form lists them."""
    script = "[...document.querySelectorAll('#to option')].slice(1).map(({value, text}) => ({value, text}))"
    return list(await person.tab.evaluate(script))


def weakest(found: list[dict[str, str]], mine: str = "yours") -> str:
    """Return the number of the planet with the fewest ships that is not one's own; any, if there is none."""
    foreign = [each for each in found if f"({mine}," not in each["text"]] or found

    def ships(each: dict[str, str]) -> int:
        count = re.search(r", (\d+)\)", each["text"])
        assert count is not None
        return int(count[1])

    return min(foreign, key=ships)["value"]


async def can_send(person: Person) -> bool:
    """Return whether the chosen planet has ships."""
    return await person.tab.locator("#from").count() > 0 and not str(
        await person.tab.locator("#from option:checked").inner_text()
    ).endswith("(0)")


async def play(person: Person) -> int:
    """Send a planet's ships at the weakest one, turn by turn, until the game is over; return the last turn."""
    for turn in range(_MOST_TURNS):
        await person.tab.wait_for_selector(f"{GAME_OVER}, #finish[data-turn='{turn}']")
        if await person.tab.locator(GAME_OVER).count():
            return turn
        if await can_send(person):
            await person.send_to(weakest(await planets(person)))
        await person.tab.click("#finish")
    raise AssertionError("the game did not end")


async def test_a_whole_game_on_a_phone(browser: Any, backend: Backend) -> None:
    """One person plays two machines from the sign-in to the result, 320 px wide, without an error or a violation."""
    async with people(browser, backend, NARROW) as [ada]:
        await ada.sign_in("ada@phone.test")
        await ada.create(seats=3, machines=2)
        await ada.start()
        assert await ada.tab.locator(".planet").count() >= 2
        width, window = await ada.widest()
        assert width <= window
        assert await play(ada) > 0
        text = await ada.tab.inner_text(GAME_OVER)
        assert "Winner:" in text
        await ada.goto(backend.page)
        await playwright.expect(ada.tab.locator("h2", has_text="Ended")).to_be_visible()


async def test_two_people_and_a_session_that_ends(browser: Any, backend: Backend) -> None:
    """Bob plays Ada's public game without a map, live; a lost connection heals; the end of a session is seen."""
    async with people(browser, backend, WIDE, WIDE, WIDE) as [ada, bob, again]:
        await ada.sign_in("ada@two.test")
        await bob.sign_in("bob@two.test")
        await bob.tab.route("**/games/galaxy.js", lambda route: route.abort())
        await ada.create(seats=2, machines=0, public=True, name="Rigel <b>2</b>")
        await bob.goto(f"{backend.page}#/open")
        await bob.tab.locator(".game", has_text="Rigel <b>2</b>").click()
        await bob.tab.click("#join")
        await ada.start()
        await bob.tab.wait_for_selector("#finish[data-turn='0']")
        await ada.tab.click("#finish")
        await bob.tab.click("#add-legal")
        await bob.tab.wait_for_selector(".plan li")
        await bob.tab.click("#send")
        await playwright.expect(bob.tab.locator("#plan-state")).to_have_text("Sent")
        await bob.tab.click("#finish")
        for person in (ada, bob):
            await person.tab.wait_for_selector("#finish[data-turn='1']")
        await again.tab.context.add_cookies(await ada.tab.context.cookies())
        await again.tab.route("**/api/v1/user/events", lambda route: route.abort())
        await again.goto(backend.page)
        lost = again.tab.locator("#connection")
        await playwright.expect(lost).to_have_text("Connection lost. Trying again …")
        await again.tab.unroute("**/api/v1/user/events")
        await playwright.expect(lost).to_be_hidden(timeout=20_000)
        await ada.goto(f"{backend.page}#/account")
        await ada.tab.click("#sign-out")
        for person in (ada, again):
            await person.tab.wait_for_selector("#email")
        for person in (bob, again):
            person.expected(r"ERR_FAILED")


async def test_a_spectator_follows_a_public_game(browser: Any, backend: Backend) -> None:
    """Who has the link of a public game sees its turns come, without signing in; a private game is not shown."""
    async with people(browser, backend, WIDE, NARROW) as [ada, eve]:
        await ada.sign_in("ada@public.test")
        await ada.create(seats=2, machines=1, public=True, name="Vega for all")
        link = await ada.tab.locator("#watch").inner_text()
        await eve.goto(link)
        await playwright.expect(eve.tab.locator("h1")).to_have_text("Vega for all")
        await ada.start()
        turn = eve.tab.locator("#report-turn")
        await playwright.expect(turn).to_have_text("Turn 0")
        await ada.tab.click("#finish")
        await playwright.expect(turn).to_have_text("Turn 1")
        await eve.tab.click("#turn‹")
        await playwright.expect(turn).to_have_text("Turn 0")
        assert "planet" in await eve.tab.locator(".report").inner_text()
        width, window = await eve.widest()
        assert width <= window
        await ada.create(seats=2, machines=1)
        await eve.goto(f"{backend.page}#/watch/{ada.game}")
        await playwright.expect(eve.tab.get_by_role("alert")).to_contain_text("does not exist")
        eve.expected("status of 404")


async def test_an_invitation_and_a_time_zone(browser: Any, backend: Backend) -> None:
    """Who is invited by address joins from the start page, and sees deadlines in the zone of the account."""
    async with people(browser, backend, WIDE, NARROW, timezone_id="Europe/Vienna") as [ada, bob]:
        await bob.sign_in("bob@invited.test")
        await ada.sign_in("ada@invited.test")
        await ada.create(seats=2, machines=0, name="Deneb")
        await ada.tab.fill("#invitee", "bob@invited.test")
        await ada.press("Enter")
        await bob.tab.get_by_role("button", name="Join").click()
        await ada.start()
        await bob.tab.wait_for_selector("#finish[data-turn='0']")
        shown = bob.tab.locator("time.deadline")
        vienna = (await shown.inner_text()).partition(" · ")[0]
        await bob.open("account", "#time-zone")
        await bob.tab.select_option("#time-zone", "Asia/Tokyo")
        await bob.tab.get_by_role("button", name="Save").click()
        await bob.open(f"games/{ada.game}", "#finish")
        tokyo = (await shown.inner_text()).partition(" · ")[0]
        assert tokyo != vienna
        assert await bob.tab.locator("#finish").is_enabled()


async def test_the_owner_removes_who_missed_a_turn(browser: Any, backend: Backend) -> None:
    """Beside the player whose orders a turn ran without there is a button; the seat is vacant afterwards."""
    async with people(browser, backend, WIDE, NARROW) as [ada, bob]:
        await ada.sign_in("ada@owner.test")
        await bob.sign_in("bob@away.test")
        await ada.tab.route("**/api/v1/user/games", quick)
        await ada.create(seats=2, machines=0, public=True, name="Mizar")
        await bob.goto(f"{backend.page}#/games/{ada.game}")
        await bob.tab.click("#join")
        await ada.start()
        await ada.tab.wait_for_selector("#finish:not([data-turn='0'])")
        await ada.tab.get_by_text("Players and more").click()
        away = ada.tab.locator(".seats li", has_text="missed").get_by_role("button", name="Remove")
        await away.click()
        await playwright.expect(ada.tab.locator(".seats")).to_contain_text("removed")
        await playwright.expect(away).to_have_count(0)


async def quick(route: Any) -> None:
    """Have a game that is created run a turn every three seconds."""
    await route.continue_(post_data={**route.request.post_data_json, "schedule": {"interval": "3s"}})


async def test_two_tabs_agree(browser: Any, backend: Backend) -> None:
    """What is sent in one tab is shown in the other; a plan that was overtaken there is not sent over it."""
    async with people(browser, backend, WIDE) as [ada]:
        await ada.sign_in("ada@tabs.test")
        await ada.create(seats=2, machines=1)
        await ada.start()
        other = Person(await ada.tab.context.new_page(), backend)
        await other.open(f"games/{ada.game}", "#finish")
        [target, *_] = [each["value"] for each in await planets(ada)]
        await ada.send_to(target)
        await ada.tab.click("#send")
        await playwright.expect(other.tab.locator("#plan-state")).to_have_text("Sent")
        assert await other.tab.locator(".plan li").count() == 1
        for person in (ada, other):
            await person.tab.locator(".plan button").click()
            await playwright.expect(person.tab.locator("#plan-state")).to_have_text("Not sent yet")
        await ada.tab.click("#send")
        await playwright.expect(ada.tab.locator("#plan-state")).to_have_text("Sent")
        await other.tab.click("#send")
        await playwright.expect(other.tab.locator("#said")).to_contain_text("changed elsewhere")
        await playwright.expect(other.tab.locator("#plan-state")).to_have_text("Sent")
        other.expected("status of 412")
        assert other.errors == []


async def test_the_backend_is_killed_in_mid_turn(browser: Any, tmp_path: Path) -> None:
    """Orders that were sent before a kill -9 count, and the open page shows the new turn once the backend is back."""
    environment = {"GATEWAY_LISTEN_ADDR": f"127.0.0.1:{free_port()}"}
    killed = Backend(tmp_path / "data", environment)
    async with people(browser, killed, WIDE) as [ada]:
        await ada.sign_in("ada@example.test")
        await ada.create(seats=2, machines=1)
        await ada.start()
        [target, *_] = [each["value"] for each in await planets(ada)]
        await ada.send_to(target)
        async with ada.tab.expect_response(lambda answer: answer.request.method == "PUT") as answered:
            await ada.tab.click("#finish")
        kept = await answered.value
        assert kept.status == 200
        await asyncio.to_thread(killed.stop, signal.SIGKILL)
        await playwright.expect(ada.tab.locator("#connection")).to_have_text("Connection lost. Trying again …")
        back = await asyncio.to_thread(Backend, tmp_path / "data", environment)
        try:
            await ada.tab.wait_for_selector("#finish[data-turn='1']", timeout=60_000)
            await playwright.expect(ada.tab.locator("#connection")).to_be_hidden(timeout=30_000)
            report = await ada.tab.evaluate(
                "url => fetch(url).then((answer) => answer.json())", kept.url.replace("/orders", "/turns/1/report")
            )
            data = report["data"]  # the fleet flies, or has arrived: it joined others there, or fought
            arrived = [each["planet"] for each in data["events"] if each["event"] in ("joined", "battle")]
            assert int(target) in [*arrived, *(fleet["to"] for fleet in data["fleets"])]
        finally:
            await asyncio.to_thread(back.stop)
            ada.expected("ERR_|status of 50")
