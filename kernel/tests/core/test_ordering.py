"""Order from requires, provides and uses."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_contracts.capability import Capability
from galaxy_kernel.core.manifest import Manifest
from galaxy_kernel.core.ordering import order
from galaxy_kernel.errors import PluginError

OUTBOX: Capability[object] = Capability("mail.outbox")
ACCOUNTS: Capability[object] = Capability("user.accounts")


def manifest(
    name: str,
    *,
    provides: tuple[Capability[object], ...] = (),
    requires: tuple[Capability[object], ...] = (),
    uses: tuple[Capability[object], ...] = (),
) -> Manifest:
    return Manifest(name=name, summary=name, provides=provides, requires=requires, uses=uses)


def names(manifests: list[Manifest]) -> list[str]:
    return [each.name for each in manifests]


def test_requirements_come_first_whatever_the_listing_order() -> None:
    """Every listing order of the same plugins gives the same order of start."""
    plugins = [
        manifest("auth", requires=(OUTBOX, ACCOUNTS)),
        manifest("mail", provides=(OUTBOX,)),
        manifest("user", provides=(ACCOUNTS,)),
        manifest("admin"),
    ]
    orders = {tuple(names(order(listing))) for listing in permutations(plugins)}
    assert orders == {("admin", "mail", "user", "auth")}


def test_uses_orders_only_where_there_is_a_provider() -> None:
    """A soft dependency orders if provided and is ignored if not."""
    reporter = manifest("a_reporter", uses=(OUTBOX,))
    assert names(order([reporter])) == ["a_reporter"]
    assert names(order([reporter, manifest("mail", provides=(OUTBOX,))])) == ["mail", "a_reporter"]


def test_missing_requirement_names_plugin_capability_and_distribution() -> None:
    """A requirement that nobody provides is refused with what to install."""
    with pytest.raises(PluginError, match=r"'auth' requires 'mail.outbox'.*install galaxy-backend-mail"):
        order([manifest("auth", requires=(OUTBOX,))])


def test_everything_that_falls_with_a_provider_is_named_at_once() -> None:
    """Those that require it, and those that require them: one try is enough to disable them all."""
    manifests = [
        manifest("auth", requires=(OUTBOX,), provides=(ACCOUNTS,)),
        manifest("lobby", requires=(ACCOUNTS,)),
        manifest("news", requires=(OUTBOX,)),
        manifest("geo", uses=(OUTBOX,)),
    ]
    with pytest.raises(
        PluginError, match=r"'mail' out of BACKEND_PLUGINS_DISABLED, or add 'auth', 'lobby', 'news' to it"
    ):
        order(manifests, disabled=[manifest("mail", provides=(OUTBOX,))])
    with pytest.raises(PluginError, match=r"or add 'auth', 'lobby', 'news' to BACKEND_PLUGINS_DISABLED"):
        order(manifests)
    assert names(order(manifests[3:])) == ["geo"]


def test_disabled_provider_is_the_named_remedy() -> None:
    """A requirement whose provider is disabled names the one to enable."""
    with pytest.raises(PluginError, match=r"the disabled plugin 'mail' provides: take 'mail' out of"):
        order([manifest("auth", requires=(OUTBOX,))], disabled=[manifest("mail", provides=(OUTBOX,))])


def test_two_providers_are_refused() -> None:
    """One capability has one provider."""
    with pytest.raises(PluginError, match=r"'letters' and 'mail' both provide 'mail.outbox'"):
        order([manifest("mail", provides=(OUTBOX,)), manifest("letters", provides=(OUTBOX,))])


def test_cycle_is_shown_as_a_circle() -> None:
    """Plugins that need each other are refused with the complete cycle."""
    with pytest.raises(PluginError, match=r"'mail' → 'user' → 'mail'"):
        order(
            [
                manifest("mail", provides=(OUTBOX,), requires=(ACCOUNTS,)),
                manifest("user", provides=(ACCOUNTS,), uses=(OUTBOX,)),
            ]
        )


@given(st.lists(st.sets(st.integers(0, 7), max_size=4), min_size=1, max_size=8))
def test_any_graph_is_ordered_or_refused(needs: list[set[int]]) -> None:
    """For any graph, every plugin comes after what it needs, or one sentence says why not."""
    capabilities = [Capability[object](f"p{number}.service") for number in range(8)]
    plugins = [
        manifest(f"p{number}", provides=(capabilities[number],), requires=tuple(capabilities[each] for each in wanted))
        for number, wanted in enumerate(needs)
    ]
    try:
        result = names(order(plugins))
    except PluginError as error:
        assert "plugin" in str(error)
        assert "\n" not in str(error)
        return
    assert sorted(result) == sorted(each.name for each in plugins)
    for number, wanted in enumerate(needs):
        assert all(result.index(f"p{each}") < result.index(f"p{number}") for each in wanted)
