"""The checks, by what they look at; importing this registers all of them."""

from galaxy_engine.kit.checks import beginning, capabilities, games, orders, process, turns

__all__ = ["beginning", "capabilities", "games", "orders", "process", "turns"]
