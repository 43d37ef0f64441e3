"""The order of plugins, from what they provide, require and use. No I/O."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from galaxy_contracts.capability import Capability
from galaxy_kernel.core.manifest import Manifest
from galaxy_kernel.errors import PluginError


def order(manifests: Iterable[Manifest], disabled: Iterable[Manifest] = ()) -> list[Manifest]:
    """Return the manifests so that each comes after the plugins it requires or uses; ties by name.

    Raise PluginError, one sentence with the plugin and the remedy, for a capability with two providers, a
    requirement that nobody provides (`disabled` plugins are named as the remedy), and a cycle.
    """
    by_name = {manifest.name: manifest for manifest in manifests}
    providers = _providers(by_name.values())
    _check_requirements(by_name.values(), providers, list(disabled))
    needs = {name: _needs(manifest, providers) for name, manifest in by_name.items()}
    return [by_name[name] for name in _sorted(needs)]


def _providers(manifests: Iterable[Manifest]) -> dict[Capability[Any], str]:
    providers: dict[Capability[Any], str] = {}
    for manifest in sorted(manifests, key=lambda manifest: manifest.name):
        for capability in manifest.provides:
            other = providers.setdefault(capability, manifest.name)
            if other != manifest.name:
                raise PluginError(
                    f"plugins {other!r} and {manifest.name!r} both provide {capability.name!r}: "
                    "add one of them to BACKEND_PLUGINS_DISABLED"
                )
    return providers


def _check_requirements(
    manifests: Iterable[Manifest], providers: Mapping[Capability[Any], str], disabled: Sequence[Manifest]
) -> None:
    ordered = sorted(manifests, key=lambda manifest: manifest.name)
    for manifest in ordered:
        for capability in manifest.requires:
            if capability not in providers:
                dependents = _dependents(ordered, providers, capability)
                raise PluginError(_missing(manifest.name, capability, disabled, dependents))


def _dependents(
    manifests: Sequence[Manifest], providers: Mapping[Capability[Any], str], missing: Capability[Any]
) -> list[str]:
    """Return the plugins that cannot run without a capability, those that require one of them included."""
    found: list[str] = []
    while True:
        lost = {missing} | {capability for capability, provider in providers.items() if provider in found}
        more = [each.name for each in manifests if lost.intersection(each.requires) and each.name not in found]
        if not more:
            return sorted(found)
        found += more


def _missing(plugin: str, capability: Capability[Any], disabled: Sequence[Manifest], dependents: Sequence[str]) -> str:
    others = ", ".join(repr(name) for name in dependents)
    off = next((manifest.name for manifest in disabled if capability in manifest.provides), None)
    if off is not None:
        return (
            f"plugin {plugin!r} requires {capability.name!r}, which the disabled plugin {off!r} provides: "
            f"take {off!r} out of BACKEND_PLUGINS_DISABLED, or add {others} to it"
        )
    return (
        f"plugin {plugin!r} requires {capability.name!r}, which no installed plugin provides: "
        f"install galaxy-backend-{capability.plugin}, or add {others} to BACKEND_PLUGINS_DISABLED"
    )


def _needs(manifest: Manifest, providers: Mapping[Capability[Any], str]) -> set[str]:
    wanted = (*manifest.requires, *manifest.uses)
    return {providers[capability] for capability in wanted if capability in providers}


def _sorted(needs: Mapping[str, set[str]]) -> list[str]:
    waiting = {name: set(needed) for name, needed in needs.items()}
    ready = [name for name, needed in waiting.items() if not needed]
    heapq.heapify(ready)
    result: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        result.append(name)
        del waiting[name]
        for other, needed in waiting.items():
            if name in needed:
                needed.remove(name)
                if not needed:
                    heapq.heappush(ready, other)
    if waiting:
        cycle = _cycle(waiting)
        raise PluginError(
            f"plugins need each other in a circle, {' → '.join(repr(name) for name in cycle)}: "
            f"add one of them to BACKEND_PLUGINS_DISABLED, or let plugin {cycle[0]!r} listen to a fact instead"
        )
    return result


def _cycle(waiting: Mapping[str, set[str]]) -> list[str]:
    path = [min(waiting)]
    while path[-1] not in path[:-1]:
        path.append(min(name for name in waiting[path[-1]] if name in waiting))
    return path[path.index(path[-1]) :]
