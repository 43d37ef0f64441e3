"""What operators set."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from galaxy_kernel.api import Duration, Settings


class EngineVersionSettings(Settings):
    """The check of engines."""

    check_timeout: Annotated[Duration, Field(ge=timedelta(seconds=10), le=timedelta(hours=1))] = timedelta(minutes=10)
    """How long the conformance kit may take with one engine; a check that is not done by then has failed."""
