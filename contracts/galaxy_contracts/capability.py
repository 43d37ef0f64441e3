"""Typed keys by which one plugin finds another's service."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Capability(Generic[T]):
    """A service that one plugin provides and others use, for example `Capability[Outbox]("mail.outbox")`.

    The part of `name` before the dot is the plugin that provides it in a standard deployment; messages
    about a missing provider name it. Two capabilities are the same only if they are the same object.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def plugin(self) -> str:
        """Name of the plugin that provides it in a standard deployment."""
        return self.name.partition(".")[0]

    def __repr__(self) -> str:
        return f"Capability({self.name!r})"
