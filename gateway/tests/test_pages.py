"""The players' page: headers, caching, and what has precedence over it."""

import re
from pathlib import Path

import pytest
from gateway_doubles import GOOD, Front

from galaxy_chassis.http.problems import Problem
from galaxy_gateway.pages import POLICY, PREFIX, Pages


def folder(at: Path, **files: str) -> Path:
    at.mkdir()
    (at / "index.html").write_text('<script src="{files}app.js"></script>')
    for name, text in files.items():
        (at / f"{name}.js").write_text(text)
    return at


async def test_the_page_and_its_files_are_served(front: Front) -> None:
    """The first page names its files under a path with their digest; they are there, as what they are."""
    status, answer, body = await front.ask("GET", "/")
    assert (status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    named = re.findall(rf'"({PREFIX}[0-9a-f]{{16}}/[a-z.]+)"', body.decode())
    assert {Path(each).suffix for each in named} == {".js", ".css", ".svg"}
    assert b"{files}" not in body
    types = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css"}
    for each in named:
        status, answer, _ = await front.ask("GET", each)
        headers = answer.headers
        assert (status, headers["Content-Type"].partition(";")[0]) == (200, types[Path(each).suffix])
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_every_answer_is_safe(front: Front) -> None:
    """The first page may run and load nothing but this origin's files, and is framed by nobody."""
    headers = (await front.ask("GET", "/"))[1].headers
    assert headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert headers["Cache-Control"] == "no-cache"


async def test_what_is_known_is_not_sent_again(front: Front) -> None:
    """Its ETag answers 304 without a body, also weak and among others; another one does not."""
    tag = (await front.ask("GET", "/"))[1].headers["ETag"]
    for known in (tag, f'"x", W/{tag}'):
        status, again, body = await front.ask("GET", "/", headers={"If-None-Match": known})
        assert (status, again.headers["ETag"], body) == (304, tag, b"")
    assert (await front.ask("GET", "/", headers={"If-None-Match": '"x"'}))[0] == 200


async def test_other_paths_are_what_they_were(front: Front) -> None:
    """The API, the probes and unknown paths are not the page's; it is read and not written."""
    status, _, _ = await front.ask("GET", "/api/v1/user/games", headers={"Authorization": f"Bearer {GOOD}"})
    assert (status, len(front.backend.requests) > 0) == (200, True)
    assert (await front.ask("GET", "/healthz"))[0] == 200
    assert (await front.ask("GET", "/page/0000000000000000/app.js"))[0] == 404
    status, answer, _ = await front.ask("POST", "/")
    assert (status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_without_the_distribution_nothing_is_a_page() -> None:
    """Where no files are installed, `/` is left to the rest of the gateway."""
    assert Pages(None).answer("GET", "/", {}, "id") is None


def test_a_changed_file_changes_the_path(tmp_path: Path) -> None:
    """Files of another content have another path, and the first page another tag; files of no known kind are absent."""
    (one, other) = (folder(tmp_path / name, app=text) for name, text in (("one", "1"), ("other", "2")))
    (one / "notes.txt").write_text("not for browsers")
    paths = [[path for path in Pages(each).paths if path != "/"] for each in (one, other)]
    assert [len(found) for found in paths] == [1, 1]
    assert paths[0] != paths[1]


def test_only_reading_is_allowed(tmp_path: Path) -> None:
    """Another method on a page's path is refused."""
    with pytest.raises(Problem) as refused:
        Pages(folder(tmp_path / "files")).answer("DELETE", "/?x=1", {}, "id")
    assert refused.value.status == 405
