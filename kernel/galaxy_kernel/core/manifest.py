"""A plugin's identity and order, and its contributions, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import MetaData

from galaxy_chassis.config.settings import NoSettings, Settings
from galaxy_contracts.capability import Capability
from galaxy_kernel.core.companions import Companion, DevExample

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Identity, order and settings of a plugin. Order among plugins comes from `requires` and `uses` alone."""

    name: str
    """Lower-case identifier; its distribution, tables' branch and settings prefix follow from it."""
    summary: str
    """One line for `backend plugins`."""
    settings: type[Settings] = NoSettings
    """Group with the prefix `BACKEND_<NAME>_` unless the class names another; a field that is a group is one too."""
    provides: tuple[Capability[Any], ...] = ()
    """Services it offers from its lifespan."""
    requires: tuple[Capability[Any], ...] = ()
    """Services without which the boot is refused."""
    uses: tuple[Capability[Any], ...] = ()
    """Services it uses where they are provided."""
    companions: tuple[Companion, ...] = ()
    """Started by `backend dev` beside the backend, for example a mail sink."""
    dev_environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that `backend dev` sets unless the user has set them; `{api}` stands for the backend's URL."""
    examples: tuple[DevExample, ...] = ()
    """Shown by `backend dev` for a newcomer to try, in this order."""


@dataclass(frozen=True, slots=True)
class Offer(Generic[T]):
    """A service offered by a plugin's lifespan."""

    capability: Capability[T]
    implementation: T


@dataclass(frozen=True, slots=True)
class Migrations:
    """A plugin's branch of the schema."""

    package: str
    """Import name of the package with the revisions, `galaxy_mail.migrations`; ids are `<plugin>_0001` and so on."""
    metadata: MetaData
    """The plugin's own tables, without a schema name."""
