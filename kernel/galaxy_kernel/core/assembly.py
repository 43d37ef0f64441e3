"""Makes plugin instances, in their order, from the installation and its settings: the phases without a database."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from galaxy_chassis.config.loading import Configuration, Raw, load, read_environment
from galaxy_chassis.config.process import is_strict
from galaxy_chassis.config.settings import Settings
from galaxy_chassis.errors import BootError, ConfigurationError, Fault
from galaxy_chassis.logs import get_logger
from galaxy_chassis.telemetry import Telemetry, make_telemetry
from galaxy_kernel.core.context import Context, KernelResources
from galaxy_kernel.core.discovery import Discovery, InstalledPlugin, discover
from galaxy_kernel.core.offline import run_offline
from galaxy_kernel.core.ordering import order
from galaxy_kernel.core.plugins import PluginSet
from galaxy_kernel.core.settings import KERNEL, KernelSettings
from galaxy_kernel.errors import CapabilityError, PhaseError
from galaxy_kernel.http.health import Report, health_route
from galaxy_kernel.http.route import Route

__all__ = ["KERNEL", "Assembly", "all_routes", "assemble", "describe_routes"]


@dataclass
class Assembly:
    """The plugins of one kernel, constructed but not started."""

    found: tuple[InstalledPlugin, ...]
    """Enabled plugins in dependency order."""
    disabled: tuple[InstalledPlugin, ...]
    configuration: Configuration
    plugins: PluginSet
    telemetry: Telemetry
    resources: KernelResources | None = None
    """None until `share`."""

    @property
    def kernel_settings(self) -> KernelSettings:
        """The kernel's settings. Raise ConfigurationError where they are faulty."""
        return self.configuration.settings_of(KERNEL, KernelSettings)

    def share(self, resources: KernelResources) -> None:
        """Pass the kernel's resources to the plugins."""
        self.resources = resources

    def require_resources(self) -> KernelResources:
        """Return the kernel's resources. Raise CapabilityError before it has started."""
        if self.resources is None:
            raise CapabilityError("the kernel has not started yet: use the context in backend_lifespan or later")
        return self.resources


def assemble(
    environment: Mapping[str, str] | None = None,
    *,
    overlay: Mapping[str, str] | None = None,
    discovery: Discovery | None = None,
) -> Assembly:
    """Discover, order, configure and construct.

    Faulty settings do not stop it; `configuration.check(command)` does. So the read-only commands still work. Raise
    PluginError for a refused set of plugins, and ConfigurationError for an unreadable env file.
    """
    raw = read_environment(environment, overlay=overlay)
    off = tuple(name.strip() for name in _text(raw, "BACKEND_PLUGINS_DISABLED", "").split(",") if name.strip())
    discovery = discover(off) if discovery is None else _without(discovery, off)
    manifests = order([each.manifest for each in discovery.enabled], [each.manifest for each in discovery.disabled])
    by_name = {each.name: each for each in discovery.enabled}
    found = tuple(by_name[manifest.name] for manifest in manifests)
    configuration = _configure(raw, found, discovery)
    telemetry = _telemetry(configuration)
    assembly = Assembly(found, discovery.disabled, configuration, PluginSet(), telemetry)
    for each in found:
        assembly.plugins.register(each.name, _make(assembly, each))
    return assembly


def _without(discovery: Discovery, off: tuple[str, ...]) -> Discovery:
    return Discovery(
        tuple(each for each in discovery.enabled if each.name not in off),
        tuple(each for each in discovery.enabled if each.name in off),
        (),
        tuple(name for name in off if name not in {each.name for each in discovery.enabled}),
    )


def _text(raw: Mapping[str, Raw], name: str, default: str) -> str:
    return raw[name].text if name in raw else default


def _configure(raw: Mapping[str, Raw], found: tuple[InstalledPlugin, ...], discovery: Discovery) -> Configuration:
    strict = is_strict(_text(raw, "BACKEND_CONFIG_STRICT", "true"))
    groups: dict[str, type[Settings]] = {KERNEL: KernelSettings}
    groups |= {each.name: each.manifest.settings for each in found}
    configuration = load(
        groups,
        raw,
        known={each.name: each.manifest.settings for each in discovery.disabled},
        ignored_prefixes=tuple(f"BACKEND_{name.upper()}_" for name in discovery.broken),
        strict=strict,
    )
    kernel = configuration.groups.get(KERNEL)
    if isinstance(kernel, KernelSettings):
        configuration = replace(configuration, warnings=(*configuration.warnings, *kernel.warnings))
    if not discovery.unknown:
        return configuration
    installed = [each.name for each in (*discovery.enabled, *discovery.disabled)]
    faults = tuple(_not_installed(name, installed) for name in discovery.unknown)
    return Configuration(
        configuration.variables,
        configuration.raw,
        configuration.groups,
        configuration.faults + (faults if strict else ()),
        configuration.warnings + (() if strict else faults),
    )


def _not_installed(name: str, installed: list[str]) -> Fault:
    near = difflib.get_close_matches(name, installed, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"installed are {', '.join(sorted(installed)) or 'none'}"
    return Fault("BACKEND_PLUGINS_DISABLED", f"names {name!r}, which is not installed: {hint}")


def all_routes(assembly: Assembly, report: Report) -> list[tuple[str, Route]]:
    """Return every operation with the name of its plugin: the kernel's own, whose checks `report` runs, first."""
    return [(KERNEL, health_route(report)), *assembly.plugins.contributions("backend_routes")]


def describe_routes(assembly: Assembly) -> list[tuple[str, Route]]:
    """Return every operation, to be shown and not to be served."""

    async def report() -> tuple[bool, dict[str, Any]]:
        raise RuntimeError("these routes describe the API: nothing runs behind them")

    return all_routes(assembly, report)


def _telemetry(configuration: Configuration) -> Telemetry:
    """Make the exporters that the settings name; none where the settings are faulty, since nothing will run then."""
    try:
        settings = configuration.settings_of(KERNEL, KernelSettings)
    except ConfigurationError:
        settings = KernelSettings(otel_traces_exporter="none", otel_metrics_exporter="none")
    return make_telemetry(settings, "galaxy-backend")


def _make(assembly: Assembly, found: InstalledPlugin) -> object:
    group = found.manifest.settings
    context: Context[Settings] = Context(
        found.manifest,
        settings=lambda: assembly.configuration.settings_of(found.name, group),
        resources=assembly.require_resources,
        offline=lambda work: run_offline(assembly.configuration, assembly.share, work),
        log=get_logger(f"galaxy_{found.name}", plugin=found.name),
        tracer=assembly.telemetry.tracer(f"galaxy_{found.name}"),
        meter=assembly.telemetry.meter(f"galaxy_{found.name}"),
    )
    try:
        plugin: object = found.factory(context)
    except BootError:
        raise
    except Exception as error:
        raise PhaseError(found.name, "its constructor", error, found.package) from error
    return plugin
