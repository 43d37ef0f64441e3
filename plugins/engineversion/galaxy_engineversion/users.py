"""Who pins games to versions, and how many they are."""

from uuid import UUID

from galaxy_contracts.engines import VersionUser
from galaxy_kernel.api import Connection


class VersionUsers:
    """The users that other plugins have registered."""

    def __init__(self) -> None:
        self._users: list[VersionUser] = []

    def register(self, user: VersionUser) -> None:
        """Have somebody asked."""
        self._users.append(user)

    async def in_use(self, connection: Connection, version_id: UUID) -> int:
        """Return how many games need a version, over all users."""
        counts = [await user.in_use(connection, version_id) for user in self._users]
        return sum(counts)
