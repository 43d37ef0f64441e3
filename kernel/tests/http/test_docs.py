"""The docs page: Swagger UI under a strict policy, without any other host."""

import re
import shutil
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from galaxy_devkit.testing.http import OPERATOR_AUTH, SESSION, Api, make_route
from galaxy_kernel.http.call import Call
from galaxy_kernel.http.docs import content_hash
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Access

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HARMLESS = "Input elements should have autocomplete attributes"


class Said(Model):
    by: str


async def own(call: Call) -> Said:
    return Said(by=f"player {call.user.session_id}")


async def halt(call: Call, thing_id: int) -> Said:
    return Said(by=f"{call.admin.username} {thing_id}")


@pytest.fixture
async def api(serve: Callable[..., Awaitable[Api]]) -> Api:
    """Serve an operation of players and one of operators."""
    return await serve(
        make_route(own, path="/api/v1/user/thing", access=Access.USER),
        make_route(halt, "POST", "/api/v1/admin/things/{thing_id}/halt", access=Access.ADMIN),
    )


async def test_the_page_and_its_files_are_served_from_here(api: Api) -> None:
    """It refers to no other host, and its files may be kept, since their addresses have a version."""
    answer = await api("GET", "/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    referred = re.findall(r"(?:src|href|url)(?:=|: )\"([^\"]*)\"", answer.body.decode())
    files = [each for each in referred if each.startswith("docs/")]
    assert sorted(set(referred) - set(files)) == ["data:,", "openapi.json"]
    assert len(files) == 2
    for each in files:
        file = await api("GET", f"/{each}")
        assert (file.status, "immutable" in file.headers["Cache-Control"], "?" in each) == (200, True, True)
    assert b"SwaggerUIBundle" in file.body


async def test_the_policy_admits_only_what_is_served_here(api: Api) -> None:
    """No inline script but the one that starts it, which a change shuts out; no inline style; no other host."""
    answer = await api("GET", "/docs")
    policy, html = answer.headers["Content-Security-Policy"], answer.body.decode()
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert content_hash(html, "script") in policy
    assert content_hash(html.replace("openapi.json", "other.json"), "script") not in policy


class Opened:
    """The page in the browser."""

    def __init__(self, tab: Any, api: Api, playwright: Any) -> None:
        self.tab, self.expect, self.address = tab, playwright.expect, f"http://{api.server.address}"
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        tab.set_default_timeout(15_000)
        tab.on("console", lambda message: self.faults.append(message.text))
        tab.on("pageerror", lambda error: self.faults.append(str(error)))
        tab.on("request", lambda request: self.hosts.add("/".join(request.url.split("/")[:3])))

    async def authorize(self, scheme: str, fields: dict[str, str]) -> None:
        """Enter credentials for a security scheme."""
        await self.tab.click(".auth-wrapper > .authorize")
        form = self.tab.locator(".auth-container", has_text=scheme)
        for name, value in fields.items():
            await form.get_by_label(name, exact=False).fill(value)
        await form.get_by_role("button", name="Apply credentials").click()
        await self.tab.locator(".btn-done").first.click()

    async def execute(self, path: str, **parameters: str) -> str:
        """Try an operation, and return what the page shows of the answer."""
        operation = self.tab.locator(".opblock", has=self.tab.locator(f'[data-path="{path}"]'))
        await operation.locator(".opblock-summary-control").click()
        for name, value in parameters.items():
            await operation.locator(f'tr[data-param-name="{name}"] input').fill(value)
        await operation.locator("button.execute").click()
        text: str = await operation.locator(".live-responses-table tbody .response-col_description").first.inner_text()
        return text


@pytest.fixture
async def opened(api: Api) -> AsyncIterator[Opened]:
    """Open the page in Chromium; afterwards nothing has been reported, and no other host asked."""
    playwright = pytest.importorskip("playwright.async_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = Opened(await browser.new_page(), api, playwright)
        await opened.tab.goto(f"{opened.address}/docs")
        await opened.tab.locator(".opblock-tag").first.click()
        yield opened
        await browser.close()
    assert [fault for fault in opened.faults if HARMLESS not in fault and "data:," not in fault] == []
    assert opened.hosts - {"data:,"} == {opened.address}


@pytest.mark.browser
async def test_a_player_tries_an_operation_with_a_token(opened: Opened) -> None:
    """The token that is typed in goes with the call, and the page shows the answer."""
    await opened.authorize("bearer", {"Value": SESSION["Authorization"].removeprefix("Bearer ")})
    assert "player" in await opened.execute("/api/v1/user/thing")


@pytest.mark.browser
async def test_an_operator_tries_an_operation_with_a_password(opened: Opened) -> None:
    """HTTP Basic in UTF-8, and the JSON body that a change by an operator needs even where it is empty."""
    username, _, password = b64decode(OPERATOR_AUTH["Authorization"].removeprefix("Basic ")).decode().partition(":")
    await opened.authorize("basic", {"Username": username, "Password": password})
    assert f"{username} 7" in await opened.execute("/api/v1/admin/things/{thing_id}/halt", thing_id="7")
