"""Build the documentation site into `site/`, and fail on whatever a reader would stumble over.

The pages are those that `docs/zensical.toml` names. They are copied, with the files that they link to, into a folder of
the same layout as the repository, so that one link is right in both; zensical makes the site from it. Then every page
is held against the others: a link or a picture whose file is not there, an anchor that its page does not have, and
anything that a browser would fetch from another host.

`--output` and `--root` name another folder and another repository, which the tests use.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "docs/zensical.toml"
_FENCE = re.compile(r"(?ms)^ *(```|~~~).*?^ *\1")
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)")


def main() -> None:
    """Build, and exit with 1 where there are faults."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    parser.add_argument("--output", type=Path, help="where the site goes; site/ of the repository if not said")
    options = parser.parse_args()
    output = options.output or options.root / "site"
    faults = list(build(options.root, output.resolve()))
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if faults:
        sys.exit(1)
    sys.stdout.write(f"{output}: {len(list(output.rglob('*.html')))} pages\n")


def build(root: Path, output: Path) -> Iterator[str]:
    """Build the site of a repository and yield its faults."""
    pages = list(pages_of(tomllib.loads((root / CONFIG).read_text("utf-8"))["project"]["nav"]))
    missing = [f"{CONFIG}: there is no page {page}" for page in pages if not (root / page).is_file()]
    missing += [f"{page}: no part of the site: name it in {CONFIG}" for page in unnamed(root, pages)]
    if missing:
        yield from missing
        return
    with tempfile.TemporaryDirectory(prefix="galaxy-site-") as work:
        stage(root, pages, Path(work))
        shutil.rmtree(output, ignore_errors=True)
        failure = _zensical(Path(work), output)
    yield from [failure] if failure else faults_of(output)


def pages_of(nav: list[Any]) -> Iterator[str]:
    """Yield the pages that a navigation names, from all of its levels."""
    for entry in nav:
        for target in entry.values():
            yield from [target] if isinstance(target, str) else pages_of(target)


def unnamed(root: Path, pages: list[str]) -> Iterator[str]:
    """Yield the documents in `docs/` that the navigation does not name."""
    found = {path.relative_to(root).as_posix() for path in (root / "docs").glob("*.md")}
    yield from sorted(found - set(pages))


def stage(root: Path, pages: list[str], work: Path) -> None:
    """Copy the pages and the files that they link to, where these are; the checks of the site find the others."""
    shutil.copy(root / CONFIG, work / "zensical.toml")
    for page in pages:
        text = (root / page).read_text("utf-8")
        _copy(root, root / page, work)
        for target in _LINK.findall(_CODE.sub("", _FENCE.sub("", text))):
            path = Path(os.path.normpath((root / page).parent / unquote(urlsplit(target).path)))
            if not urlsplit(target).scheme and path.is_file() and path.is_relative_to(root) and path.suffix != ".md":
                _copy(root, path, work)


def _copy(root: Path, path: Path, work: Path) -> None:
    target = work / "docs" / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


def _zensical(work: Path, output: Path) -> str:
    """Run zensical, and return what it complains of."""
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    environment = os.environ | {"NO_COLOR": "1"}
    ended = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        complaint = re.sub(r"\x1b\[[0-9;]*m", "", ended.stderr).partition("Traceback")[0]
        return f"zensical: {complaint.strip() or ended.stdout.strip()}"
    shutil.copytree(work / "site", output)
    return ""


class Page(HTMLParser):
    """What a page links to and loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        """What a reader may follow."""
        self.loads: list[str] = []
        """What a browser fetches by itself."""
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what matters of an element."""
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.links += [values["href"]] if tag == "a" and "href" in values else []
        if tag == "link" and values.get("rel") != "canonical":
            self.loads += [values["href"]] if "href" in values else []
        elif "src" in values:
            self.loads.append(values["src"])


def faults_of(site: Path) -> Iterator[str]:
    """Yield the links, pictures and anchors that lead nowhere, and what comes from another host."""
    read = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in read.items():
        name = path.relative_to(site).as_posix()
        yield from (f"{name}: loads {each} from another host" for each in page.loads if _elsewhere(each))
        if path.name == "404.html":  # its links start at the root of a server
            continue
        for target in dict.fromkeys([*page.links, *page.loads]):
            fault = "" if _elsewhere(target) or target.startswith(("data:", "mailto:")) else _fault(target, path, read)
            if fault:
                yield f"{name}: {target}: {fault}"


def _elsewhere(target: str) -> bool:
    return bool(urlsplit(target).netloc)


def _fault(target: str, path: Path, read: dict[Path, Page]) -> str:
    parts = urlsplit(target)
    goal = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
    goal = goal / "index.html" if goal.is_dir() else goal
    if not goal.is_file():
        return "there is no such file"
    anchor = unquote(parts.fragment)
    if anchor and goal in read and anchor not in read[goal].anchors:
        return "that page has no such anchor"
    return ""


if __name__ == "__main__":
    main()
