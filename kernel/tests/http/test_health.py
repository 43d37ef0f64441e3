"""`GET /api/v1/admin/health`."""

from typing import Any

from galaxy_devkit.testing.http import OPERATOR_AUTH, Serve
from galaxy_kernel.http.health import health_route

CHECK = {
    "name": "relay",
    "plugin": "mail",
    "state": "degraded",
    "since": "2030-01-01T00:00:00Z",
    "gates": "report",
    "detail": "relay 192.0.2.25:587: refused",
}


async def report() -> tuple[bool, dict[str, Any]]:
    return True, {"status": "ready", "checks": [CHECK]}


async def test_an_operator_sees_the_details_from_anywhere(serve: Serve) -> None:
    """Through a proxy that nobody knows too; without credentials nobody sees a thing."""
    api = await serve(health_route(report), plugin="kernel")
    seen = await api("GET", "/api/v1/admin/health", headers={"Via": "1.1 edge"} | OPERATOR_AUTH)
    assert (seen.status, seen.json) == (200, {"status": "ready", "checks": [CHECK]})
    assert (await api("GET", "/api/v1/admin/health")).status == 401
