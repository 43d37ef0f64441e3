"""`GET /api/v1/admin/health`: what `/readyz` shows to operators, for those who do not reach it from inside."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from galaxy_kernel.http.fields import Timestamp
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.route import Access, Route

Report = Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]
"""Returns whether the service is ready, and the body of `/readyz`."""


class CheckView(Model):
    """One check."""

    name: str
    plugin: str
    """The plugin that the check belongs to; `kernel` for those of the kernel."""
    state: Literal["ok", "degraded", "failed"]
    since: Timestamp
    """Since when it has that state."""
    gates: Literal["ready", "report"]
    """`ready`: its failure turns `/readyz` to 503."""
    detail: str
    """What is wrong and what to do; empty when nothing is wrong."""


class HealthView(Model):
    """Every check, with its details."""

    status: Literal["ready", "not_ready"]
    checks: list[CheckView]


def health_route(report: Report) -> Route:
    """Return the route."""

    async def show() -> HealthView:
        """The body of `/readyz` with what it hides from others: hosts, errors, and what to do."""
        _, document = await report()
        return HealthView.model_validate(document)

    return Route(
        "GET",
        "/api/v1/admin/health",
        show,
        name="kernel.health",
        summary="Show every check of this process, with its details.",
        access=Access.ADMIN,
    )
