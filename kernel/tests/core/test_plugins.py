"""Registration, and the one place that calls into plugins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from galaxy_chassis.health import Health, Probe
from galaxy_kernel.core.hookspecs import HOOKS, HookSpecs
from galaxy_kernel.core.plugins import PluginSet
from galaxy_kernel.errors import PhaseError, PluginError
from galaxy_kernel.workers.worker import Worker


async def work() -> None: ...


async def check() -> Health:
    return Health()


ONE, TWO, THREE = (Probe(name, check) for name in ("one", "two", "three"))
WORKER = Worker("reader.work", work, timedelta(seconds=1))


class Reader:
    """Contributes through two hooks, and fails when its property is read."""

    def backend_probes(self) -> list[Probe]:
        return [ONE]

    def backend_workers(self) -> tuple[Worker, ...]:
        return (WORKER,)

    @property
    def secret(self) -> str:
        raise AssertionError("registration must not run properties")


class Second:
    def backend_probes(self) -> list[Probe]:
        return [TWO, THREE]


def plugin_set(**plugins: object) -> PluginSet:
    result = PluginSet()
    for name, plugin in plugins.items():
        result.register(name, plugin)
    return result


def with_hook(name: str, value: Any) -> object:
    return type("Plugin", (), {name: value})()


def test_contributions_come_in_order_with_their_plugin() -> None:
    """Items are returned in the order of the plugins, each with its plugin's name."""
    found = plugin_set(reader=Reader(), second=Second())
    assert found.contributions("backend_probes") == [("reader", ONE), ("second", TWO), ("second", THREE)]
    assert found.contributions("backend_workers") == [("reader", WORKER)]
    assert found.contributions("backend_routes") == []


def test_misspelt_hook_is_refused_with_the_nearest() -> None:
    """A method that looks like a hook but is not one refuses the boot."""
    with pytest.raises(PluginError, match=r"'odd' has a method 'backend_route'.*did you mean 'backend_routes'"):
        plugin_set(odd=with_hook("backend_route", lambda self: []))


async def _coroutine(self: object) -> list[str]:
    return []


async def _generator(self: object) -> AsyncIterator[list[str]]:
    yield []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (_coroutine, "must not be async"),
        (_generator, "must not be async"),
        (lambda self, request: [], "takes no parameters"),
        (lambda self, request=None: [], "takes no parameters"),
        (["a list"], "must be a method"),
        (property(lambda self: []), "must be a method"),
    ],
)
def test_malformed_hook_is_refused(value: Any, says: str) -> None:
    """Traps of the plugin library are closed at registration."""
    with pytest.raises(PluginError, match=rf"plugin 'odd': the hook 'backend_routes'.*{says}"):
        plugin_set(odd=with_hook("backend_routes", value))


@pytest.mark.parametrize("hook", HOOKS)
def test_failure_in_any_hook_names_plugin_and_hook(hook: str) -> None:
    """Whatever hook raises, the error names the plugin and the hook."""

    def fail(self: object) -> None:
        raise RuntimeError("out of coal")

    found = plugin_set(second=Second(), culprit=with_hook(hook, fail))
    with pytest.raises(PhaseError, match=rf"plugin 'culprit' failed in {hook}: RuntimeError: out of coal"):
        list(found.call(hook))


@pytest.mark.parametrize("given", [None, "routes", {"a": 1}, 5])
def test_contribution_that_is_no_list_names_plugin_and_hook(given: Any) -> None:
    """A hook that returns anything but a list is refused by name."""
    found = plugin_set(odd=with_hook("backend_routes", lambda self: given))
    with pytest.raises(PluginError, match=r"plugin 'odd': backend_routes: expected list \| tuple, got "):
        found.contributions("backend_routes")


def test_lifespan_decorated_is_accepted() -> None:
    """An asynccontextmanager is a plain function to the registry."""

    @asynccontextmanager
    async def lifespan(self: object) -> AsyncIterator[list[str]]:
        yield []

    assert [name for name, _ in plugin_set(a=with_hook("backend_lifespan", lifespan)).call("backend_lifespan")] == ["a"]


def test_every_hook_says_when_it_is_called_and_what_failure_does() -> None:
    """The contract of each hook is documented."""
    for hook in HOOKS:
        doc = getattr(HookSpecs, hook).__doc__
        assert "Called" in doc or "Entered" in doc, hook
        assert "On failure:" in doc or "failure" in doc, hook
