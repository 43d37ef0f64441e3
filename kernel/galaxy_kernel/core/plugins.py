"""The plugins of one kernel, and the one place that calls into them: whatever fails there names its plugin.

pluggy keeps the registry. Its traps are closed here: a hook is whatever method is called `backend_…`, so that a
misspelt one is refused instead of ignored; hooks take no parameters, so that none is filled wrongly; attributes that
are not hooks are never read, so that properties do not run; and the order is that of dependency, not of registration.
"""

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

import pluggy

from galaxy_kernel.core.contributions import check_contribution
from galaxy_kernel.core.hookspecs import HOOKS, HookSpecs
from galaxy_kernel.errors import PhaseError, PluginError

_PREFIX = "backend_"


class _Manager(pluggy.PluginManager):
    """A plugin manager that recognises hooks by name alone."""

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> pluggy.HookspecOpts | None:  # noqa: ARG002 - pluggy's
        if not name.startswith(_PREFIX):
            return None
        return {"firstresult": False, "historic": False, "warn_on_impl": None, "warn_on_impl_args": None}

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:  # noqa: ARG002 - pluggy's
        if not name.startswith(_PREFIX):
            return None
        return {
            "wrapper": False,
            "hookwrapper": False,
            "optionalhook": False,
            "tryfirst": False,
            "trylast": False,
            "specname": None,
        }


class PluginSet:
    """The plugins of one kernel, in their order."""

    def __init__(self) -> None:
        self._manager = _Manager("galaxy")
        self._manager.add_hookspecs(HookSpecs)
        self._names: list[str] = []
        self._packages: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The plugins' names in the order of registration, which is the order of dependency."""
        return tuple(self._names)

    def register(self, name: str, plugin: object) -> None:
        """Add a plugin after those it depends on. Raise PluginError for an unknown or malformed hook."""
        for attribute in (each for each in dir(type(plugin)) if each.startswith(_PREFIX)):
            _check_hook(name, attribute, inspect.getattr_static(plugin, attribute))
        self._manager.register(plugin, name)
        self._names.append(name)
        self._packages[name] = type(plugin).__module__.partition(".")[0]

    def package(self, name: str) -> str:
        """Return the package of a plugin's code, `galaxy_mail` say."""
        return self._packages[name]

    def call(self, hook: str, *, only: str | None = None) -> Iterator[tuple[str, Any]]:
        """Call a hook of each plugin that has it, in order, and yield `(plugin, result)` one by one.

        Raise PhaseError with the plugin's name for whatever the plugin raises, and PluginError for a result of a
        wrong type.
        """
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        found = {implementation.plugin_name: implementation.function for implementation in caller.get_hookimpls()}
        for name in self._names:
            if name in found and only in (None, name):
                yield name, self._call(name, hook, found[name])

    def contributions(self, hook: str) -> list[tuple[str, Any]]:
        """Call a hook whose result is a sequence, and return its items with their plugins."""
        return [(name, item) for name, items in self.call(hook) for item in items]

    def _call(self, name: str, hook: str, function: Any) -> Any:
        try:
            result = function()
        except Exception as error:
            raise PhaseError(name, hook, error, self._packages[name]) from error
        check_contribution(name, hook, result)
        return result


def _check_hook(plugin: str, name: str, attribute: Any) -> None:
    if name not in HOOKS:
        near = difflib.get_close_matches(name, HOOKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the hooks are {', '.join(HOOKS)}"
        raise PluginError(f"plugin {plugin!r} has a method {name!r}, which is not a hook: {hint}")
    function = attribute.__func__ if isinstance(attribute, staticmethod | classmethod) else attribute
    if not inspect.isfunction(function):
        raise PluginError(f"plugin {plugin!r}: the hook {name!r} must be a method, not {type(attribute).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        remedy = "put @asynccontextmanager on it" if name == "backend_lifespan" else "make it a plain method"
        raise PluginError(f"plugin {plugin!r}: the hook {name!r} must not be async: {remedy}")
    if len(inspect.signature(function).parameters) > (0 if isinstance(attribute, staticmethod) else 1):
        raise PluginError(f"plugin {plugin!r}: the hook {name!r} takes no parameters: use the plugin's Context")
