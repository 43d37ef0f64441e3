"""The checks, by what they look at; importing this registers all of them."""

from galaxy_engine.kit.checks import beginning, capabilities, games, orders, process, turns

__all__ = ["beginning", "capabilities", "games", "orders", "process", "turns"]
from galaxy_engine.kit.registry import Check, registered

__all__ = ["all_checks", "beginning", "capabilities", "games", "orders", "process", "turns"]


def all_checks() -> dict[str, Check]:
    """Return every check by its id, in order."""
    return registered()
