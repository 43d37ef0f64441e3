"""`/`: links for people, and nothing for programs."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from galaxy_devkit.testing.http import Api, make_route
from galaxy_kernel.http.home import LINKS, accepts_html

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def thing() -> None: ...


async def well() -> tuple[int, dict[str, Any]]:
    return 200, {"status": "ready", "checks": []}


@pytest.fixture
async def api(serve: Callable[..., Awaitable[Api]]) -> Api:
    """Serve one operation."""
    api = await serve(make_route(thing))
    for probe in ("/healthz", "/readyz"):
        api.server.serve_probe(probe, well)
    return api


async def test_a_browser_gets_links_that_lead_somewhere(api: Api) -> None:
    """Docs, document and health, under a policy without scripts."""
    answer = await api("GET", "/", headers=BROWSER)
    assert (answer.status, answer.headers["Vary"]) == (200, "Accept")
    assert "script" not in answer.headers["Content-Security-Policy"]
    for _, path in LINKS:
        assert f'href="{path}"'.encode() in answer.body
        assert (await api("GET", f"/{path}")).status == 200


async def test_links_that_are_added_later_are_shown_as_text(api: Api) -> None:
    """Of a companion's page for example, whatever characters they have."""
    api.service.links.append(('<Mail> & "page"', 'http://127.0.0.1:8025/?a="b"'))
    body = (await api("GET", "/", headers=BROWSER)).body.decode()
    assert '<a href="http://127.0.0.1:8025/?a=&quot;b&quot;">&lt;Mail&gt; &amp; &quot;page&quot;</a>' in body


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/*", "text/html;q=0"])
async def test_programs_get_404_as_a_problem(api: Api, accept: str) -> None:
    """They have nothing there, as at any path that does not exist."""
    answer = await api("GET", "/", headers={"Accept": accept})
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_html_is_found_among_other_types() -> None:
    """In any place and case, with parameters, unless its weight is nought."""
    assert accepts_html("application/json, Text/HTML; charset=utf-8; q=0.5")
    assert not accepts_html("text/html ; q=0.0, */*")
    assert not accepts_html("")
