"""Sets of plugins: all there are, and selections of them that grow with the number of plugins alone.

Order depends on nothing but manifests, so every set is tried on these, which takes microseconds. Assembling and
booting real plugins is for selections: two plugins that do not get on without a third show in the pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, combinations
from typing import Any

from galaxy_contracts.capability import Capability
from galaxy_kernel.core.manifest import Manifest
from galaxy_kernel.core.ordering import order
from galaxy_kernel.errors import PluginError

Names = frozenset[str]


def subsets(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, ...]]:
    """Yield every set of plugins, 2^n of them."""
    return chain.from_iterable(combinations(manifests, size) for size in range(len(manifests) + 1))


def to_assemble(manifests: Sequence[Manifest]) -> list[Names]:
    """Return each plugin alone and with what it requires, and all but none, one or two: n(n+7)/2 sets at most."""
    everything = frozenset(manifest.name for manifest in manifests)
    alone = [frozenset((name,)) for name in everything]
    missing = chain.from_iterable(combinations(sorted(everything), size) for size in range(3))
    return _each_once([frozenset(), *alone, *_minimal(manifests), *(everything.difference(gone) for gone in missing)])


def to_boot(manifests: Sequence[Manifest]) -> list[Names]:
    """Return the sets that can run: each plugin with no more than it requires, and all but one and its dependents."""
    everything = frozenset(manifest.name for manifest in manifests)
    largest = [_runnable(manifests, everything - {name}) for name in sorted(everything)]
    return _each_once([frozenset(), *_minimal(manifests), *largest, everything])


def check_order(chosen: Sequence[Manifest], disabled: Sequence[Manifest] = ()) -> None:
    """Assert that a set is ordered by what it needs, or refused by plugin, capability and remedy."""
    names = "+".join(manifest.name for manifest in chosen) or "none"
    providers = {capability: manifest.name for manifest in chosen for capability in manifest.provides}
    missing = _missing(chosen)
    try:
        ordered = [manifest.name for manifest in order(chosen, disabled)]
    except PluginError as refused:
        sentences = [_sentence(plugin, capability, disabled) for plugin, capability in missing]
        assert any(all(part in str(refused) for part in sentence) for sentence in sentences), f"{names}: {refused}"
        return
    assert not missing, f"{names}: ordered without {missing}"
    assert sorted(ordered) == sorted(manifest.name for manifest in chosen), f"{names}: {ordered}"
    for manifest in chosen:
        for capability in (*manifest.requires, *manifest.uses):
            first = providers.get(capability)
            assert first is None or ordered.index(first) < ordered.index(manifest.name), f"{names}: {ordered}"


def _sentence(plugin: str, capability: Capability[Any], disabled: Iterable[Manifest]) -> tuple[str, ...]:
    """Return what a refusal must say: who requires what, and what to do about it."""
    start = f"plugin {plugin!r} requires {capability.name!r}"
    off = [manifest.name for manifest in disabled if capability in manifest.provides]
    if off:
        return (start, f"disabled plugin {off[0]!r}", "BACKEND_PLUGINS_DISABLED")
    return (start, f"install galaxy-backend-{capability.plugin}")


def _missing(chosen: Iterable[Manifest]) -> list[tuple[str, Capability[Any]]]:
    chosen = tuple(chosen)
    provided = {capability for manifest in chosen for capability in manifest.provides}
    return [(each.name, capability) for each in chosen for capability in each.requires if capability not in provided]


def _minimal(manifests: Sequence[Manifest]) -> list[Names]:
    """Return, for each plugin, the smallest set with it that can run."""
    by_name = {manifest.name: manifest for manifest in manifests}
    providers = {capability: manifest.name for manifest in manifests for capability in manifest.provides}

    def with_required(name: str) -> Names:
        required = {providers[capability] for capability in by_name[name].requires if capability in providers}
        return frozenset((name,)).union(*map(with_required, required))

    return [with_required(name) for name in by_name]


def _runnable(manifests: Sequence[Manifest], names: Names) -> Names:
    """Return the largest set that can run among the named: without whoever requires what is not there."""
    while lacking := {name for name, _ in _missing(each for each in manifests if each.name in names)}:
        names = names.difference(lacking)
    return names


def _each_once(sets: Iterable[Names]) -> list[Names]:
    return sorted(set(sets), key=lambda names: (len(names), sorted(names)))
