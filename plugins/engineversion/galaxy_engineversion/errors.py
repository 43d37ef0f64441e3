"""The plugin's errors, as the API answers them."""

from galaxy_kernel.api import Problem, conflict

IN_USE = "engine_version_in_use"
TAKEN = "engine_version_taken"
DRIVER_MISSING = "engine_driver_missing"
CHECKING = "engine_version_checking"


def in_use(games: int, change: str) -> Problem:
    """Return the problem for a change that the games on a version do not allow."""
    uses = "1 game uses it" if games == 1 else f"{games} games use it"
    return conflict(IN_USE, f"{uses}, so {change}: add a new version, and deprecate or retire this one.")


def taken(engine: str, version: str) -> Problem:
    """Return the problem for a version that is there already."""
    return conflict(TAKEN, f"The engine {engine!r} has a version {version} already.")


def driver_missing() -> Problem:
    """Return the problem for a check in a deployment that starts no engines."""
    return conflict(
        DRIVER_MISSING, "No installed plugin can start engines: install galaxy-backend-runtime, and enable it."
    )


def checking() -> Problem:
    """Return the problem for a deletion while the version's engine runs in a check."""
    return conflict(CHECKING, "The version is being checked: delete it when the check has ended.")
