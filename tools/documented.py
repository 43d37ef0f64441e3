"""What a deployment offers, held against the documents: each part is on its page, and says what it is for."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import catalogue
import kinds

from galaxy_chassis.config.loading import describe
from galaxy_gateway.settings import GATEWAY, GatewaySettings
from galaxy_kernel.core.assembly import assemble, describe_routes
from galaxy_kernel.core.hookspecs import HOOKS

ROOT = Path(__file__).resolve().parents[1]

API, CONFIGURATION, RUNBOOK = "docs/api.md", "docs/configuration.md", "docs/runbook.md"
PLUGINS = "docs/writing-a-plugin.md"
PAGES = (API, CONFIGURATION, RUNBOOK, PLUGINS)


@cache
def parts() -> tuple[tuple[str, str, str], ...]:
    """Return what must be documented: what it is, how the first cell of its row reads, and its page."""
    return tuple(_parts())


def _parts() -> Iterator[tuple[str, str, str]]:
    assembly = assemble({})
    for variable in (*assembly.configuration.variables, *describe(GATEWAY, GatewaySettings)):
        yield "setting", f"`{variable.name}`", CONFIGURATION
    for _, route in describe_routes(assembly):
        yield "operation", f"`{route.method} {route.path}`", API
    for hook in HOOKS:
        yield "hook", f"`{hook}()`", PLUGINS
    for declared in catalogue.catalogue():
        yield "metric", f"`{declared.metric.name}` ({declared.owner})", RUNBOOK
    for kind in kinds.kinds():
        yield "kind of notification", f"`{kind.name}`", API


def undocumented(changed: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the parts that have no row on their page, or a row that ends with nothing said."""
    texts = {page: (ROOT / page).read_text("utf-8") for page in PAGES} | dict(changed or {})
    rows = {page: dict(_rows(text)) for page, text in texts.items()}
    for what, name, page in parts():
        if name not in rows[page]:
            yield f"{page}: the {what} {name} is undocumented: run make docs"
        elif not rows[page][name]:
            yield f"{page}: the {what} {name} does not say what it is for: describe it where it is declared"


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """Yield the first and the last cell of each row of each table."""
    for line in text.splitlines():
        if line.startswith("| ") and line.endswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])]
            yield cells[0], cells[-1]
