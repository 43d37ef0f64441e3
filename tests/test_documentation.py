"""The documentation site is whole, and what a deployment offers is documented: each of these checks can fail."""

import re
import subprocess
import sys
from pathlib import Path

import documented
import kinds
import pytest
import website

from galaxy_contracts.notification import NotificationKind

ROOT = Path(__file__).resolve().parents[1]
CONFIG = '[project]\nsite_name = "Tried"\nuse_directory_urls = false\nnav = [{ "Start" = "README.md" }%s]\n'
THEME = "[project.theme]\nfont = false\n"


def repository(folder: Path, readme: str, *more: str) -> Path:
    """Make a repository of a README and other pages, `docs/<name>.md` with a heading each."""
    (folder / "docs").mkdir()
    (folder / "README.md").write_text(readme, "utf-8")
    for name in more:
        (folder / f"docs/{name}.md").write_text(f"# {name.title()}\n\n## Part: `one`\n", "utf-8")
    nav = "".join(f', {{ "{name}" = "docs/{name}.md" }}' for name in more)
    (folder / website.CONFIG).write_text(CONFIG % nav + THEME, "utf-8")
    return folder


def test_the_site_has_no_fault(tmp_path: Path) -> None:
    """Every link, picture and anchor leads somewhere, every document has a place, nothing comes from another host."""
    assert list(website.build(ROOT, tmp_path / "site")) == []
    start = (tmp_path / "site/index.html").read_text("utf-8")
    assert 'href="docs/runbook.html"' in start
    assert (tmp_path / "site/docs/alerts.yaml").exists(), "a file that a page links to is there too"


def test_a_whole_site_is_built(tmp_path: Path) -> None:
    """Links between pages and to their parts are right in the repository and in the site."""
    readme = "# Start\n\n[a part](docs/other.md#part-one)\n\n```\n[no](link.md)\n```\n"
    root = repository(tmp_path, readme, "other")
    assert list(website.build(root, tmp_path / "site")) == []
    assert 'href="docs/other.html#part-one"' in (tmp_path / "site/index.html").read_text("utf-8")


def test_pages_and_anchors_that_are_not_there_are_found(tmp_path: Path) -> None:
    """Zensical names the links of a document that lead to no page, or to no part of one."""
    root = repository(tmp_path, "# Start\n\n[gone](docs/gone.md)\n[no part](docs/other.md#part-two)\n", "other")
    [found] = website.build(root, tmp_path / "site")
    assert "page does not exist" in found
    assert "anchor does not exist" in found
    assert "README.md:3" in found


LEADING_NOWHERE = """# Start

![lost](docs/lost.png) [a file](docs/lost.yaml) <a href="docs/other.html#nowhere">part</a>
![far](https://example.org/x.png) [a page elsewhere](https://example.org/)
"""


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    """A picture, a file, an anchor of HTML that is not there, and what would need a network; `make docs` fails."""
    root = repository(tmp_path, LEADING_NOWHERE, "other")
    command = [sys.executable, "tools/website.py", "--root", str(root), "--output", str(tmp_path / "site")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert sorted(ended.stderr.splitlines()) == [
        "index.html: docs/lost.png: there is no such file",
        "index.html: docs/lost.yaml: there is no such file",
        "index.html: docs/other.html#nowhere: that page has no such anchor",
        "index.html: loads https://example.org/x.png from another host",
    ]


def test_a_document_without_a_place_is_found(tmp_path: Path) -> None:
    """Nobody would find it; and a place without a document would be an empty page."""
    root = repository(tmp_path, "# Start\n", "other")
    (root / "docs/hidden.md").write_text("# Hidden\n")
    (root / "docs/other.md").unlink()
    assert list(website.build(root, tmp_path / "site")) == [
        "docs/zensical.toml: there is no page docs/other.md",
        "docs/hidden.md: no part of the site: name it in docs/zensical.toml",
    ]


def test_everything_is_documented() -> None:
    """Settings, operations, hooks, metrics and kinds of notifications, all of them."""
    assert list(documented.undocumented()) == []
    assert {what for what, _, _ in documented.parts()} == {
        "setting",
        "operation",
        "hook",
        "metric",
        "kind of notification",
    }


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("setting", "`BACKEND_POSTGRES_DSN`"),
        ("setting", "`GATEWAY_TOKEN`"),
        ("operation", "`GET /api/v1/user/account`"),
        ("hook", "`backend_routes()`"),
        ("metric", "`mail.queued` (mail)"),
        ("kind of notification", "`lobby.turn_ready`"),
    ],
)
def test_what_is_undocumented_is_found(what: str, name: str) -> None:
    """One that has lost its row, and one whose row says nothing."""
    [page] = {page for _, found, page in documented.parts() if found == name}
    text = (ROOT / page).read_text("utf-8")
    [row] = re.findall(rf"(?m)^\| {re.escape(name)} \|.*\|$", text)
    assert list(documented.undocumented({page: text.replace(row, "")})) == [
        f"{page}: the {what} {name} is undocumented: run make docs"
    ]
    mute = re.sub(r"\|[^|]*\|$", "| |", row)
    assert list(documented.undocumented({page: text.replace(row, mute)})) == [
        f"{page}: the {what} {name} does not say what it is for: describe it where it is declared"
    ]


def test_the_kinds_are_those_that_plugins_register() -> None:
    """Each that a module declares is found, alone or in a tuple of them."""
    found = {kind.name for kind in kinds.kinds()}
    assert {"auth.new_device", "lobby.turn_ready", "runtime.turn_failed", "runtime.image_pull_failed"} <= found
    assert all(isinstance(kind, NotificationKind) and kind.summary.endswith(".") for kind in kinds.kinds())


def test_security_names_tests_that_exist() -> None:
    """Each promise's test is there, under the name that the page gives it."""
    text = (ROOT / "docs/security.md").read_text("utf-8")
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", text)
    assert len(named) > 50
    assert [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or f"def {name}(" not in (ROOT / path).read_text("utf-8")
    ] == []


def sources() -> str:
    """Return our code, all of it that runs in a deployment."""
    folders = [*ROOT.glob("*/galaxy_*"), *ROOT.glob("plugins/*/galaxy_*")]
    return "\n".join(path.read_text("utf-8") for folder in folders for path in sorted(folder.rglob("*.py")))


def test_troubleshooting_quotes_what_the_code_says() -> None:
    """Each code, event and sentence in the first column is in the code, so that a reader's search finds it."""
    text = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    code = sources()
    first = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    quoted = {each for cell in first for each in re.findall(r"`([^`]+)`", cell)}
    words = {part.strip() for each in quoted for part in each.split("…") if not each.startswith(("GET ", "POST "))}
    missing = {word for word in words - COMMANDS if word.rstrip(":?") not in code}
    assert missing == set()
    assert len(words) > 50


COMMANDS = {"/readyz", "stopping", "orphaned"}
"""What stands in the first column of a table and is not a quotation."""
