"""What operators set."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from galaxy_engineversion.domain import Registration, parse_registration
from galaxy_kernel.api import Duration, Settings, TypeName


def _registrations(given: object) -> object:
    """Read `engine@version=image`, comma-separated."""
    if not isinstance(given, str):
        return given
    return tuple(parse_registration(each.strip()) for each in given.split(",") if each.strip())


Registrations = Annotated[
    tuple[Registration, ...], BeforeValidator(_registrations), TypeName("engine@version=image, comma-separated")
]


class EngineVersionSettings(Settings):
    """The check of engines, and what is registered at start."""

    check_timeout: Annotated[Duration, Field(ge=timedelta(seconds=10), le=timedelta(hours=1))] = timedelta(minutes=10)
    """How long the conformance kit may take with one engine; a check that is not done by then has failed."""
    versions: Registrations = ()
    """Versions that are added at start where they are missing, and then checked."""
