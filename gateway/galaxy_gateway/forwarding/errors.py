"""What may go wrong with a call to a backend."""


class BackendError(Exception):
    """A call that came to nothing."""


class UnreachableError(BackendError):
    """There is no connection: nothing was sent, so the call has not begun."""


class BrokenError(BackendError):
    """The connection ended, or what came is not an answer in HTTP/1.1. The call may have taken effect."""


class LateError(BackendError):
    """The time is over. The call may still run."""
