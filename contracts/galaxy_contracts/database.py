"""The database types that contracts speak of."""

from sqlalchemy.ext.asyncio import AsyncConnection

Connection = AsyncConnection
"""A connection inside the caller's transaction: what is written on it commits or rolls back with the caller."""
