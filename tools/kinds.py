"""The kinds of notifications, from the modules of the plugins that declare them."""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

from galaxy_contracts.notification import Audience, NotificationKind
from galaxy_kernel.core.discovery import discover


@cache
def kinds() -> tuple[NotificationKind, ...]:
    """Return every kind that a plugin declares in its modules, by name."""
    found = {kind.name: kind for plugin in discover().enabled for kind in _declared_by(f"galaxy_{plugin.name}")}
    return tuple(found[name] for name in sorted(found))


def table() -> str:
    """Return the kinds as a table."""
    rows = ["| kind | goes to | by | when |", "|---|---|---|---|"]
    for kind in kinds():
        to = {Audience.ACCOUNT: "players", Audience.OPERATORS: "operators"}[kind.audience]
        by = ", ".join(channel.value for channel in kind.channels)
        always = " Cannot be switched off." if kind.mandatory else ""
        rows.append(f"| `{kind.name}` | {to} | {by} | {kind.summary}{always} |")
    return "\n".join(rows) + "\n"


def _declared_by(package: str) -> Iterator[NotificationKind]:
    for name in _modules(package):
        for value in vars(importlib.import_module(name)).values():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, NotificationKind):
                    yield each


def _modules(package: str) -> Iterator[str]:
    found = importlib.import_module(package)
    for each in pkgutil.walk_packages(found.__path__, f"{package}."):
        if ".migrations" not in each.name:
            yield each.name
