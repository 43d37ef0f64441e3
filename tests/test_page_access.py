"""The players' page for everybody: by keyboard alone, for screen readers, in both languages, light and dark."""

from pathlib import Path
from typing import Any

import axe_playwright_python
from page_people import MARKS, NARROW, WIDE, Backend, Person, people, playwright

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

pytestmark = MARKS


async def serious(person: Person, where: str) -> list[str]:
    """Return what axe-core finds on a page that is serious or worse, in light and in dark."""
    found = []
    for scheme, rules in (("light", RULES), ("dark", ["cat.color"])):  # the dark page differs in colours alone
        await person.tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        if not await person.tab.evaluate("'axe' in window"):
            await person.tab.evaluate(AXE)
        result = await person.tab.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
        assert "color-contrast" in {each["id"] for each in result["passes"]}
        found += [
            f"{where}, {scheme}: {each['id']}: {node['html'][:200]}: {node['failureSummary'][:300]}"
            for each in result["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
    return found


async def every_page(ada: Person, game: str, lobby: str) -> list[str]:
    """Return what axe-core finds on the pages of who is signed in."""
    views = {"": ".games", "open": "h1", "create": "#seats", "inbox": "table", "account": "#sign-out"}
    views |= {f"games/{lobby}": "#start", f"games/{game}": "#finish", f"watch/{lobby}": "h2"}
    found = []
    for view, selector in views.items():
        await ada.open(view, f"#view {selector}", state="attached")
        await ada.tab.evaluate("document.querySelectorAll('#view details').forEach((each) => (each.open = true))")
        found += await serious(ada, view)
    return found


async def test_axe_finds_nothing_serious(browser: Any, backend: Backend) -> None:
    """On no page, in English and in German, light and dark, with orders planned and every fold open."""
    async with people(browser, backend, WIDE, NARROW) as [ada, eve]:
        await eve.goto(backend.page)
        await eve.tab.wait_for_selector("#email")
        found = await serious(eve, "sign-in")
        await eve.tab.fill("#email", "eve@axe.test")
        await eve.press("Enter")
        await eve.tab.wait_for_selector("#code")
        found += await serious(eve, "code")
        await ada.sign_in("ada@axe.test")
        await ada.create(seats=3, machines=1, public=True)
        lobby = ada.game
        await ada.create(seats=2, machines=1)
        game = ada.game
        await ada.start()
        await ada.tab.select_option("#to", index=1)
        await ada.tab.click("#add")
        await ada.tab.wait_for_selector(".plan li")
        await ada.tab.click("#send")
        found += await every_page(ada, game, lobby)
        await ada.open("account", "#language")
        await ada.tab.select_option("#language", "de")
        await ada.tab.get_by_role("button", name="Save").click()
        await playwright.expect(ada.tab.locator("h1")).to_have_text("Konto")
        found += await every_page(ada, game, lobby)
        assert found == []


async def test_a_turn_by_keyboard_alone(browser: Any, backend: Backend) -> None:
    """A game is created and started, a fleet is planned on the map and the turn is finished without a pointer."""
    async with people(browser, backend, WIDE) as [ada]:
        await ada.sign_in("ada@keys.test")
        await ada.tab_to("nav a[href='#/create']")
        await ada.press("Enter")
        await ada.tab.wait_for_selector("#seats", timeout=60_000)
        await ada.tab_to("#seats")
        await ada.tab.keyboard.type("2")
        await ada.press("Enter")
        await ada.tab.wait_for_selector("#start")
        await ada.tab_to("#start")
        await ada.press("Enter")
        await ada.tab.wait_for_selector("#finish", timeout=30_000)
        await ada.tab_to(".planet.own")
        await ada.press("Enter")
        assert await ada.tab.locator(".planet.source").count() == 1
        before = await ada.tab.get_attribute(".map", "viewBox")
        await ada.press("+")
        assert await ada.tab.get_attribute(".map", "viewBox") != before
        await ada.press("ArrowRight", "ArrowDown", "ArrowLeft")
        if await ada.tab.evaluate("document.activeElement.matches('.source')"):
            await ada.press("ArrowUp")
        await ada.press("Space")
        assert await ada.tab.evaluate("document.activeElement.id") == "ships"
        await ada.tab.keyboard.type("3")
        await playwright.expect(ada.tab.locator("#expected")).to_contain_text("3 ships from")
        await ada.press("Enter")
        await playwright.expect(ada.tab.locator(".plan li")).to_contain_text("3 ships from")
        await ada.tab_to("#finish")
        await ada.press("Enter")
        await ada.tab.wait_for_selector("#finish[data-turn='1']")


async def test_pointing_and_pinching(browser: Any, backend: Backend) -> None:
    """Two taps choose origin and target, two fingers zoom, and what was dragged is not chosen."""
    async with people(browser, backend, NARROW, has_touch=True, is_mobile=True) as [ada]:
        await ada.sign_in("ada@touch.test")
        await ada.create(seats=2, machines=1)
        await ada.tab.route("**/games/map.js", lambda route: route.abort(), times=1)  # the page gets it in the end
        await ada.start()
        ada.expected("ERR_FAILED")
        own = await ada.tab.locator(".planet.own").get_attribute("id")
        other = await ada.tab.locator(".planet:not(.own)").first.get_attribute("id")
        for planet in (own, other):
            await ada.tab.locator(f"#{planet} .hit").scroll_into_view_if_needed()
            await ada.tab.locator(f"#{planet} .hit").tap()
        to, chosen = ada.tab.locator("#to"), str(other).removeprefix("planet-")
        assert await to.input_value() == chosen
        await ada.tab.locator(f"#{own} .hit").scroll_into_view_if_needed()
        grip = await ada.tab.locator(f"#{own} .hit").bounding_box()
        await ada.tab.mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
        await ada.tab.mouse.down()
        await ada.tab.mouse.move(grip["x"] + 40, grip["y"] + 30, steps=5)
        await ada.tab.mouse.up()
        assert await to.input_value() == chosen
        await ada.tab.locator(".map").scroll_into_view_if_needed()
        box = await ada.tab.locator(".map").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = await ada.tab.get_attribute(".map", "viewBox")
        touch = await ada.tab.context.new_cdp_session(ada.tab)

        async def fingers(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": at, "y": down, "id": index} for index, (at, down) in enumerate(places)]
            await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        await fingers("touchStart", (x - 20, y), (x + 20, y))
        for spread in (30, 50, 70):
            await fingers("touchMove", (x - spread, y), (x + spread, y))
        await fingers("touchEnd")
        after = await ada.tab.get_attribute(".map", "viewBox")
        assert float(after.split()[2]) < float(before.split()[2]) / 2
        width, window = await ada.widest()
        assert width <= window


async def test_a_file_that_does_not_arrive(browser: Any, backend: Backend) -> None:
    """A page of which a file is lost on the way says so and loads again, and a lost call is made again."""
    async with people(browser, backend, WIDE) as [ada]:
        await ada.tab.route("**/router.js", lambda route: route.abort(), times=1)
        await ada.goto(backend.page)
        await playwright.expect(ada.tab.locator("#view")).to_contain_text("could not be loaded")
        await ada.tab.wait_for_selector("#email")
        await ada.tab.route("**/send-email-code", lambda route: route.abort(), times=1)
        await ada.tab.fill("#email", "ada@lost.test")
        await ada.press("Enter")
        await ada.tab.wait_for_selector("#code")
        ada.expected("ERR_FAILED")


FORM = """async ({files, schema, given}) => {
  const { schemaForm } = await import(files + "schema.js");
  const form = schemaForm(schema, "Order");
  document.body.append(form.element);
  form.fill(given);
  const value = form.value();
  const names = [...form.element.querySelectorAll("legend, label > span")].map((each) => each.textContent);
  form.element.remove();
  return { value, names };
}"""

SCHEMA = {
    "type": "object",
    "required": ["to", "cargo"],
    "properties": {
        "to": {"$ref": "#/$defs/place"},
        "cargo": {"type": "array", "title": "Cargo", "items": {"$ref": "#/$defs/crate"}},
        "note": {"type": ["string", "null"]},
        "free": {"not": {"type": "number"}},
    },
    "$defs": {
        "place": {"type": "integer", "title": "Place", "minimum": 1},
        "crate": {"type": "object", "properties": {"of": {"enum": ["tin", "tea"]}, "holds": {"$ref": "#/$defs/crate"}}},
    },
}


async def test_forms_of_engines(browser: Any, backend: Backend) -> None:
    """References, lists, enumerations and what may be null become fields, the rest JSON; values come back as set."""
    async with people(browser, backend, WIDE) as [ada]:
        await ada.goto(backend.page)
        await ada.tab.wait_for_selector("#email")
        files = await ada.tab.evaluate("document.querySelector('script').src.replace('start.js', '')")
        given: dict[str, Any] = {"to": 3, "cargo": [{"of": "tea"}, {"of": "tin"}], "note": "<b>", "free": [1]}
        made = await ada.tab.evaluate(FORM, {"files": files, "schema": SCHEMA, "given": given})
        kept = made["value"]
        assert (kept["to"], kept["note"], kept["free"]) == (3, "<b>", [1])
        assert [each["of"] for each in kept["cargo"]] == ["tea", "tin"]
        assert {"Place", "Cargo", "note", "free (JSON)"} <= set(made["names"])
