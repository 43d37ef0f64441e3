"""Finds plugins by entry points of the group `galaxy.plugins`. Every failure names the plugin and its distribution."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from importlib_metadata import EntryPoint

from galaxy_chassis.errors import place
from galaxy_kernel.core.contributions import check_fields
from galaxy_kernel.core.manifest import Manifest
from galaxy_kernel.errors import PluginError
from galaxy_kernel.installed import installed_entry_points

GROUP = "galaxy.plugins"


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An installed plugin."""

    name: str
    distribution: str
    version: str
    factory: type[Any]
    """The plugin's class: takes a `Context`."""

    @property
    def manifest(self) -> Manifest:
        """The class's manifest."""
        manifest: Manifest = self.factory.manifest
        return manifest

    @property
    def package(self) -> str:
        """The package that the class stands in, `galaxy_mail` for `galaxy_mail.plugin`."""
        return self.factory.__module__.rpartition(".")[0] or self.factory.__module__


@dataclass(frozen=True, slots=True)
class Discovery:
    """The installed plugins."""

    enabled: tuple[InstalledPlugin, ...]
    disabled: tuple[InstalledPlugin, ...] = ()
    broken: tuple[str, ...] = ()
    """Disabled plugins that cannot even be imported: their settings are not known."""
    unknown: tuple[str, ...] = ()
    """Names to disable that no installed plugin has."""


def discover(disabled: Iterable[str] = (), points: Iterable[EntryPoint] | None = None) -> Discovery:
    """Load every installed plugin's class, the disabled ones for their settings only.

    Raise PluginError for two distributions with one plugin name, for a class that cannot be imported, and for
    one without a proper manifest.
    """
    off = set(disabled)
    points = installed_entry_points(GROUP) if points is None else list(points)
    _check_names(points)
    enabled: list[InstalledPlugin] = []
    switched_off: list[InstalledPlugin] = []
    broken: list[str] = []
    for point in sorted(points, key=lambda point: point.name):
        try:
            found = _load(point)
        except PluginError:
            if point.name not in off:
                raise
            broken.append(point.name)
            continue
        (switched_off if point.name in off else enabled).append(found)
    unknown = off - {point.name for point in points}
    return Discovery(tuple(enabled), tuple(switched_off), tuple(broken), tuple(sorted(unknown)))


def from_classes(*factories: type[Any]) -> Discovery:
    """Return the plugins of given classes instead of entry points, for tests."""
    return Discovery(tuple(InstalledPlugin(factory.manifest.name, "(given)", "0", factory) for factory in factories))


def _check_names(points: Iterable[EntryPoint]) -> None:
    owners: dict[str, str] = {}
    for point in points:
        distribution = _distribution(point)[0]
        other = owners.setdefault(point.name, distribution)
        if other != distribution or sum(each == point for each in points) > 1:
            raise PluginError(
                f"plugin {point.name!r} is installed twice, by the distributions {other!r} and {distribution!r}: "
                "uninstall one of them"
            )


def _load(point: EntryPoint) -> InstalledPlugin:
    distribution, version = _distribution(point)
    who = f"plugin {point.name!r} (distribution {distribution} {version})"
    remedy = f"reinstall or update the distribution, or add {point.name!r} to BACKEND_PLUGINS_DISABLED"
    try:
        factory = point.load()
    except Exception as error:
        where = place(error, point.module.partition(".")[0])
        raise PluginError(f"{who} cannot be imported: {type(error).__name__}: {error} ({where}): {remedy}") from error
    manifest = getattr(factory, "manifest", None)
    if not isinstance(factory, type) or not isinstance(manifest, Manifest):
        raise PluginError(f"{who} names {point.value!r}, which is not a class with a Manifest `manifest`: {remedy}")
    check_fields(who, manifest)
    if manifest.name != point.name:
        raise PluginError(f"{who} calls itself {manifest.name!r} in its manifest: the two names must be the same")
    return InstalledPlugin(point.name, distribution, version, factory)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist is not None else ("unknown", "?")
