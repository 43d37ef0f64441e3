"""The worker that closes invitations which have run out."""

from collections.abc import Sequence
from datetime import timedelta

from galaxy_kernel.api import Worker
from galaxy_lobby.invitations.service import InvitationService

_INTERVAL = timedelta(hours=1)


def workers(invitations: InvitationService) -> Sequence[Worker]:
    """Return the plugin's workers."""
    return (Worker("lobby.expire", invitations.expire, _INTERVAL, singleton=True),)
