"""Checks the types of contributions: a field of a wrong type would otherwise show only when it is used."""

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from galaxy_kernel.core.hookspecs import HookSpecs
from galaxy_kernel.errors import PluginError


def check_contribution(plugin: str, hook: str, result: object) -> None:
    """Compare what a hook returned with its annotation in `HookSpecs`, the fields of dataclasses included.

    Raise PluginError with plugin and hook, the object and its field, the expected type and the actual one.
    """
    annotation = _returned(hook)
    where, origin, arguments = f"plugin {plugin!r}: {hook}", get_origin(annotation), get_args(annotation)
    if origin is Sequence:
        check_items(where, result, arguments[0])
    elif origin is dict:
        _check(where, result, Mapping)
        for key, value in cast("Mapping[type[Any], object]", result).items():
            _check(f"{where}, a key", key, arguments[0])
            _check(f"{where}, the value of {key.__qualname__}", value, arguments[1])
    else:
        _check(where, result, annotation)


def check_items(where: str, items: object, annotation: Any) -> None:
    """Compare the items of a list or a tuple with their annotation. Raise PluginError, which begins with `where`."""
    _check(where, items, list | tuple)
    for item in cast("Sequence[object]", items):
        _check(f"{where}, an item", item, annotation)


def check_fields(where: str, item: Any) -> None:
    """Compare the fields of a dataclass with their annotations. Raise PluginError, which begins with `where`."""
    of = f"{type(item).__name__} {getattr(item, 'name', '')!r}" if hasattr(item, "name") else type(item).__name__
    kind: Any = type(item)
    for field, annotation in _fields(kind).items():
        _check(f"{where}, field {field!r} of {of}", getattr(item, field), annotation)


def _check(where: str, value: object, annotation: Any) -> None:
    if not _fits(value, annotation):
        expected = inspect.formatannotation(annotation)
        raise PluginError(f"{where}: expected {expected}, got {type(value).__name__} ({value!r:.80})")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        check_fields(where, value)


@cache
def _returned(hook: str) -> Any:
    return get_type_hints(getattr(HookSpecs, hook))["return"]


@cache
def _fields(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _fits(value: object, annotation: Any) -> bool:
    """Return whether a value is of a type, as far as the types of contributions go: parameters of generics do not."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        fits = True
    elif origin is Literal:
        fits = value in arguments
    elif origin in (Union, types.UnionType):
        fits = any(_fits(value, each) for each in arguments)
    elif origin is Callable:
        fits = callable(value)
    elif origin is type:
        fits = isinstance(value, type) and issubclass(value, arguments[0])
    elif origin is tuple:
        fits = isinstance(value, tuple) and all(_fits(each, arguments[0]) for each in value)
    else:
        fits = isinstance(value, origin or annotation) and not (annotation is int and isinstance(value, bool))
    return fits
