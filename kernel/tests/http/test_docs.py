"""The docs page: one file that needs no network but the service itself."""

import re
import shutil
from collections.abc import Awaitable, Callable

import pytest

from galaxy_devkit.testing.http import Api, make_route
from galaxy_kernel.http.docs import content_security_policy


async def thing(thing_id: int) -> None: ...


@pytest.fixture
async def api(serve: Callable[..., Awaitable[Api]]) -> Api:
    """Serve one operation."""
    return await serve(make_route(thing, path="/api/v1/public/things/{thing_id}"))


async def test_the_page_refers_to_nothing_outside(api: Api) -> None:
    """It names no other host, so that it works without a network."""
    answer = await api("GET", "/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    referred = re.findall(r"(?:src|href)=\"([^\"]*)\"|fetch\(\"([^\"]*)\"|\burl\(([^)]*)\)", answer.body.decode())
    assert {one for found in referred for one in found if one} == {"openapi.json"}


async def test_the_policy_admits_only_the_pages_own_script_and_style(api: Api) -> None:
    """Everything else is forbidden, and a changed script has another hash."""
    answer = await api("GET", "/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    html = answer.body.decode()
    assert policy == content_security_policy(html) != content_security_policy(html.replace("use strict", "use loose"))


@pytest.mark.browser
async def test_a_browser_shows_every_operation_with_a_curl_line(api: Api) -> None:
    """The page runs under its own policy, without an error, and calls only this server."""
    playwright = pytest.importorskip("playwright.async_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    faults: list[str] = []
    asked: set[str] = set()
    async with playwright.async_playwright() as started:
        try:
            browser = await started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {error.message.splitlines()[0]}")
        page = await browser.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition(api.server.address)[2]))
        await page.goto(f"http://{api.server.address}/docs#demo.thing")
        line = await page.locator(".curl code").inner_text()
        await browser.close()
    assert line == f"curl -sS http://{api.server.address}/api/v1/public/things/1"
    assert (faults, asked) == ([], {"/docs", "/openapi.json"})
