"""What `doctor` commands find: each finding is about one thing, and says what to do about it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from galaxy_chassis.cancellation import own_cancellation_only
from galaxy_chassis.errors import ConfigurationError, GalaxyError, place

PATIENCE = 10.0
"""Seconds that a check may take."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: str
    state: Literal["ok", "warning", "failed", "skipped"]
    detail: str = ""
    """What was found; unless the state is ok, what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """A check of what a process depends on, made by `doctor` without the service."""

    name: str
    run: Callable[[], Awaitable[Sequence[Finding]]] | Callable[[str], Awaitable[Sequence[Finding]]]
    """Look, change nothing, and return what was found. An exception, or no answer in 10 s, is a failure."""
    needs: Literal["settings", "database"] = "settings"
    """`database`: it is run only where the database can be reached and its schema is up to date."""
    option: str = ""
    """The option of `doctor` without which it is not run, and whose value `run` takes."""


async def examined(name: str, run: Callable[[], Awaitable[Sequence[Finding]]]) -> list[Finding]:
    """Run a check and return what it found. Never raise: whatever goes wrong is a finding too."""
    try:
        async with asyncio.timeout(PATIENCE):
            with own_cancellation_only():
                return list(await run())
    except TimeoutError:
        return [Finding(name, "failed", f"no answer within {PATIENCE:g} s: is a firewall in between?")]
    except ConfigurationError:
        return [Finding(name, "skipped", "see configuration")]
    except GalaxyError as error:
        return [Finding(name, "failed", str(error))]
    except Exception as error:
        return [unexpected(name, error)]


def unexpected(name: str, error: Exception) -> Finding:
    """Return the finding for an exception that no check expects."""
    told = f"the check itself failed, report it: {type(error).__name__}: {error} ({place(error)})"
    return Finding(name, "failed", told)
