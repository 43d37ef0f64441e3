"""The players' page at `/`, where the distribution `galaxy-backend-web` is installed.

The files are read once, at the start. All but the first are served under a path with the digest of all of them, so
that browsers keep them for ever, and a page never mixes files of two releases.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from galaxy_chassis.http.response import RawResponse, empty_response, file_response
from galaxy_chassis.http.server import method_not_allowed

INDEX = "index.html"
PREFIX = "/page/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Other files of the folder are not served."""

_SAFETY = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_FOR_EVER, _REVALIDATED = "public, max-age=31536000, immutable", "no-cache"


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is sent."""

    media_type: str
    body: bytes
    headers: Mapping[str, str]


class Pages:
    """Answers the paths of the page; no path at all without files."""

    def __init__(self, folder: Path | None) -> None:
        """Read the files of a folder."""
        self._pages: dict[str, Page] = {} if folder is None else _read(folder)

    @classmethod
    def installed(cls) -> "Pages":
        """Return the pages of the installed distribution."""
        if find_spec("galaxy_web") is None:
            return cls(None)
        from galaxy_web import FILES  # noqa: PLC0415 - it may be absent

        return cls(FILES)

    @property
    def paths(self) -> Collection[str]:
        """What it answers."""
        return self._pages.keys()

    def answer(self, method: str, raw_path: str, headers: Mapping[str, str], request_id: str) -> RawResponse | None:
        """Return the answer to a request, None for what is not a page's. Raise 405 for another method than GET."""
        page = self._pages.get(raw_path.partition("?")[0])
        if page is None:
            return None
        if method not in ("GET", "HEAD"):
            raise method_not_allowed(("GET", "HEAD"))
        known = {tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")}
        if page.headers["ETag"] in known:
            return empty_response(304, request_id, page.headers)
        return file_response(page.media_type, page.body, request_id, page.headers)


def _read(folder: Path) -> dict[str, Page]:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }
    everything = hashlib.sha256()
    for name, body in files.items():
        everything.update(f"{name}\0{len(body)}\0".encode() + body)
    base = f"{PREFIX}{everything.hexdigest()[:16]}/"
    index = files.pop(INDEX).replace(b"{files}", base.encode())
    pages = {base + name: _page(name, body, _FOR_EVER) for name, body in files.items()}
    return {"/": _page(INDEX, index, _REVALIDATED)} | pages


def _page(name: str, body: bytes, caching: str) -> Page:
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    return Page(MEDIA_TYPES[Path(name).suffix], body, {**_SAFETY, "Cache-Control": caching, "ETag": tag})
