"""Stores of both kinds."""

from store_fixtures import server, shared_server, world

__all__ = ["server", "shared_server", "world"]
