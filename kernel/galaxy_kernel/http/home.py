"""`/` in a browser: a page of links. Programs have nothing there, and get 404."""

from collections.abc import Sequence
from html import escape

from aiohttp.web import BaseRequest

from galaxy_chassis.http.problems import Problem
from galaxy_chassis.http.response import RawResponse, html_response, problem_response
from galaxy_chassis.http.server import Fixed
from galaxy_kernel.http.docs import content_hash

Links = Sequence[tuple[str, str]]
"""Label and URL."""
LINKS: Links = (
    ("API docs", "docs"),
    ("The API as an OpenAPI document", "openapi.json"),
    ("Health of this process", "healthz"),
    ("Readiness, with every check", "readyz"),
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Galaxy Backend</title>
<link rel="icon" href="data:,">
<style>body { font: 1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 3rem auto; padding: 0 1rem; }</style>
</head>
<body>
<h1>Galaxy Backend</h1>
<ul>
{links}
</ul>
</body>
</html>
"""
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {content_hash(_PAGE, 'style')}; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}


def home_page(further: Links) -> Fixed:
    """Return the function that answers `/`, with `further` links, which may be added later, after the usual ones."""

    async def answer(request: BaseRequest, request_id: str) -> RawResponse:
        if not accepts_html(request.headers.get("Accept", "")):
            return problem_response(no_such_path(), request_id)
        items = "\n".join(f'<li><a href="{escape(url)}">{escape(label)}</a></li>' for label, url in (*LINKS, *further))
        return html_response(200, _PAGE.replace("{links}", items).encode(), request_id, _HEADERS)

    return answer


def accepts_html(accept: str) -> bool:
    """Return whether an `Accept` header names `text/html`, as browsers do (RFC 9110, 12.5.1); `*/*` does not."""
    for media_range in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in media_range.split(";"))
        if media_type == "text/html" and not any(part in ("q=0", "q=0.0") for part in parameters):
            return True
    return False


def no_such_path() -> Problem:
    """Return the problem for a path that does not exist."""
    return Problem(404, "not_found", "There is no such path: /docs lists the existing ones.")
