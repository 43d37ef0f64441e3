"""`/openapi.json` and `/docs`: the API's description, made from the routes."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources

import msgspec

from galaxy_chassis.http.response import RawResponse, html_response, json_response
from galaxy_kernel.http import openapi
from galaxy_kernel.http.route import Route


def description_pages(routes: Sequence[tuple[str, Route]]) -> dict[str, Callable[[str], Awaitable[RawResponse]]]:
    """Return the functions that answer `/openapi.json` and `/docs`; the document is made at the first request."""
    document = b""

    async def describe(request_id: str) -> RawResponse:
        nonlocal document
        if not document:
            document = msgspec.json.encode(openapi.build(routes))
        return json_response(200, document, request_id)

    html = resources.files("galaxy_kernel.http").joinpath("docs_page.html").read_text("utf-8")
    headers = {"Content-Security-Policy": content_security_policy(html), "Referrer-Policy": "no-referrer"}

    async def show(request_id: str) -> RawResponse:
        return html_response(200, html.encode(), request_id, headers)

    return {"/openapi.json": describe, "/docs": show}


def content_security_policy(html: str) -> str:
    """Return the policy (CSP level 3) that admits the page's inline script and style by their hashes."""
    script, style = (_hash(html, element) for element in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(html: str, element: str) -> str:
    (content,) = re.findall(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
