"""The plugin's background work."""

from collections.abc import Sequence
from datetime import timedelta

from galaxy_auth.service import SignInService
from galaxy_auth.sessions import SessionService
from galaxy_kernel.api import Worker

TOUCH_INTERVAL = timedelta(seconds=30)
PRUNE_INTERVAL = timedelta(minutes=10)


def workers(sessions: SessionService, sign_in: SignInService) -> Sequence[Worker]:
    """Return the workers: every replica writes the uses that it has seen, one of them prunes."""

    async def prune() -> bool:
        await sign_in.prune()
        return await sessions.prune()

    return (
        Worker("auth.touch", sessions.touch, interval=TOUCH_INTERVAL),
        Worker("auth.prune", prune, interval=PRUNE_INTERVAL, singleton=True),
    )
