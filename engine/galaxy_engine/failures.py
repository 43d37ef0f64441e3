"""Everything that can go wrong with an engine, one exception for each type, so that every caller names it alike.

`code` is the type's name in answers, logs, notifications and the operation log; it never changes.
"""

from typing import ClassVar

from galaxy_engine.messages import Refusal


class EngineFailure(Exception):
    """An engine could not be had or did not do what the contract asks.

    `str()` is one sentence that names the image, engine or call; `detail` holds what the host or the engine said.
    """

    code: ClassVar[str]

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class HostUnreachable(EngineFailure):
    """The place where engines run does not answer: nothing is known of any engine, and nothing may be concluded."""

    code = "host_unreachable"


class ImageNotFound(EngineFailure):
    """No such image in the registry, or here under the policy `never`; no such executable. Trying again is useless."""

    code = "image_not_found"


class PullFailed(EngineFailure):
    """The registry did not deliver: unreachable, 5xx, authentication, or no progress for too long."""

    code = "pull_failed"


class StartFailed(EngineFailure):
    """The engine could not be created or started, or ended within seconds of its start."""

    code = "start_failed"


class OutOfMemory(EngineFailure):
    """The engine was killed because it used more memory than its limit."""

    code = "oom_killed"


class Unhealthy(EngineFailure):
    """The engine runs, and does not answer `/healthz` with 200 in time."""

    code = "unhealthy"


class PortConflict(EngineFailure):
    """The port that the engine should be reached at is in use."""

    code = "port_conflict"


class NameTaken(EngineFailure):
    """Something that is not ours holds the engine's name."""

    code = "name_taken"


class ConfigInvalid(EngineFailure):
    """The engine cannot be run as configured: contract number, options, seats, platform, network."""

    code = "config_invalid"


class EngineTimeout(EngineFailure):
    """A call took longer than its limit, or the connection to a running engine could not be made in time."""

    code = "engine_timeout"


class EngineError(EngineFailure):
    """The engine answered with 5xx or an unexpected status, or dropped the connection."""

    code = "engine_error"


class EngineRefused(EngineError):
    """The engine answered with 4xx: it did not do what was asked, and changed nothing. 409 is a wrong turn."""

    def __init__(self, message: str, detail: str = "", *, status: int, refusal: Refusal) -> None:
        super().__init__(message, detail)
        self.status = status
        self.refusal = refusal


class EngineInvalid(EngineFailure):
    """The engine's answer is not what the contract says: not JSON, wrong schema, too deep, wrong turn or seats."""

    code = "engine_invalid"


class EngineTooLarge(EngineFailure):
    """An answer is larger than the contract's limit; no more than the limit of it was read."""

    code = "engine_too_large"


class EngineDisagrees(EngineFailure):
    """The engine refused orders that it had accepted before."""

    code = "engine_disagrees"


class EngineNondeterministic(EngineFailure):
    """The engine gave two different answers to the same question."""

    code = "engine_nondeterministic"
