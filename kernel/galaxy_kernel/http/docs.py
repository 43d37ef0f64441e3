"""`/openapi.json` and `/docs`: the API's description, made from the routes, and Swagger UI, which shows it.

Swagger UI is installed with the kernel and served from here: the page needs no other host, and its policy admits none.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import msgspec
from aiohttp.web import BaseRequest
from swagger_ui_bundle import swagger_ui_path

from galaxy_chassis.http.response import RawResponse, file_response, html_response, json_response
from galaxy_chassis.http.server import Fixed
from galaxy_kernel.http import openapi
from galaxy_kernel.http.route import Route

_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}
"""The page refers to its files with their version."""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Galaxy Backend API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css?{version}">
</head>
<body>
<main id="ui"></main>
<script src="docs/swagger-ui-bundle.js?{version}"></script>
<script>
// Swagger UI sends the user name and password of HTTP Basic in Latin-1; they are read as UTF-8 (RFC 7617, 2.1).
function inUtf8(request) {
  const [scheme, encoded] = (request.headers.Authorization ?? "").split(" ");
  if (scheme === "Basic") {
    const bytes = new TextEncoder().encode(atob(encoded));
    request.headers.Authorization = `Basic ${btoa(String.fromCharCode(...bytes))}`;
  }
  return request;
}
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#ui", deepLinking: true, docExpansion: "none", filter: true, tryItOutEnabled: true,
  defaultModelsExpandDepth: 0, displayRequestDuration: true, validatorUrl: null, queryConfigEnabled: false,
  requestInterceptor: inUtf8,
});
</script>
</body>
</html>
"""
_POLICY = (
    "default-src 'none'; script-src 'self' {script}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def description_pages(routes: Sequence[tuple[str, Route]]) -> dict[str, Fixed]:
    """Return the functions that answer `/openapi.json`, `/docs` and the files of the latter, by path.

    The document is made at the first request.
    """
    document = b""

    async def describe(_: BaseRequest, request_id: str) -> RawResponse:
        nonlocal document
        if not document:
            document = msgspec.json.encode(await asyncio.to_thread(openapi.build, routes))
        return json_response(200, document, request_id)

    page = _PAGE.replace("{version}", metadata.version("swagger-ui-bundle-v2"))
    headers = {
        "Content-Security-Policy": _POLICY.replace("{script}", content_hash(page, "script")),
        "Referrer-Policy": "no-referrer",
    }

    async def show(_: BaseRequest, request_id: str) -> RawResponse:
        return html_response(200, page.encode(), request_id, headers)

    return {"/openapi.json": describe, "/docs": show, **{f"/docs/{name}": _file(name) for name in _FILES}}


def _file(name: str) -> Fixed:
    async def send(_: BaseRequest, request_id: str) -> RawResponse:
        return file_response(f"{_FILES[name]}; charset=utf-8", _content(name), request_id, _FOR_GOOD)

    return send


@cache
def _content(name: str) -> bytes:
    return Path(swagger_ui_path, name).read_bytes()


def content_hash(html: str, element: str) -> str:
    """Return the source expression (CSP level 3) that admits the page's one inline script or style."""
    (content,) = re.findall(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
