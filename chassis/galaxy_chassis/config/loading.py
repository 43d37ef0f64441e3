"""Configuration: from environment variables and an optional file to settings groups (SPEC K-1).

Every fault is collected and reported at once, by the name of its variable, with what was expected and never with the
value found. Nothing here needs a database.
"""

import difflib
import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from galaxy_chassis.config.settings import Settings, TypeName
from galaxy_chassis.docstrings import attribute_docstrings
from galaxy_chassis.durations import format_duration
from galaxy_chassis.errors import ConfigurationError, Fault
from galaxy_chassis.validation import explain

S = TypeVar("S", bound=Settings)

_LINK = re.compile(
    r"(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
"""What Kubernetes adds to the environment of a pod for a service whose name begins with ours, `backend-push` say."""
_LINK_PORT, _LINK_URL = re.compile(r"(?:[A-Z0-9_]+_)?PORT"), re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")
"""The one among them whose name may also be a setting's: its value shows which it is."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable that the deployment understands."""

    name: str
    plugin: str
    group: type[Settings]
    path: tuple[str, ...]
    """The path to its value in the plugin's settings; its last part is a field of `group`."""
    type: str
    default: str | None
    secret: bool
    required_by: tuple[str, ...] = ()

    @property
    def doc(self) -> str:
        """What it does: the field's doc string, on one line."""
        return " ".join(attribute_docstrings(self.group).get(self.path[-1], "").split())


@dataclass(frozen=True, slots=True)
class Raw:
    """A variable's text as it was found."""

    text: str
    source: str


@dataclass(frozen=True)
class Configuration:
    """The configuration as loaded. `settings_of` raises where a group is faulty; everything else works."""

    variables: tuple[Variable, ...]
    raw: Mapping[str, Raw]
    groups: Mapping[str, Settings]
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    program: str = "backend"
    """The command that reads it, for messages."""

    def check(self, command: str) -> None:
        """Raise ConfigurationError with every fault, including missing settings that `command` requires."""
        missing = [
            Fault(variable.name, f"required by `{self.program} {command}`: {_first_sentence(variable.doc)}")
            for variable in self.variables
            if command in variable.required_by and variable.name not in self.raw
        ]
        if missing or self.faults:
            raise ConfigurationError([*missing, *self.faults])

    def settings_of(self, plugin: str, group: type[S]) -> S:
        """Return a plugin's settings."""
        found = self.groups.get(plugin)
        if not isinstance(found, group):
            raise ConfigurationError([fault for fault in self.faults if self._owner(fault) == plugin] or self.faults)
        return found

    def table(self) -> list[dict[str, Any]]:
        """Return the rows of `backend config`: a secret's value is never among them, only whether it is set."""
        return [self._row(variable) for variable in self.variables]

    def _row(self, variable: Variable) -> dict[str, Any]:
        raw = self.raw.get(variable.name)
        value = variable.default if raw is None else ("***" if variable.secret else raw.text)
        return {
            "variable": variable.name,
            "plugin": variable.plugin,
            "type": variable.type,
            "default": variable.default,
            "value": value,
            "source": "default" if raw is None else raw.source,
            "secret": variable.secret,
            "doc": variable.doc,
        }

    def _owner(self, fault: Fault) -> str | None:
        return next((variable.plugin for variable in self.variables if variable.name == fault.variable), None)


@dataclass
class _Loading:
    """Collects variables and faults while the groups are read."""

    raw: Mapping[str, Raw]
    faults: list[Fault] = field(default_factory=list)
    groups: dict[str, Settings] = field(default_factory=dict)

    def load(self, plugin: str, group: type[Settings], variables: list[Variable]) -> None:
        try:
            self.groups[plugin] = group.model_validate(self._values(variables))
        except ValidationError as error:
            self.faults.extend(_faults(error, group, plugin))

    def _values(self, variables: list[Variable]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for variable in variables:
            parent = values
            for name in variable.path[:-1]:
                parent = parent.setdefault(name, {})
            if variable.name in self.raw:
                parent[variable.path[-1]] = self.raw[variable.name].text
        return values


def read_environment(
    environment: Mapping[str, str] | None = None, *, root: str = "BACKEND_", overlay: Mapping[str, str] | None = None
) -> dict[str, Raw]:
    """Collect the variables that begin with `root`: defaults in `overlay`, then the env file, then the environment.

    A variable set to nothing counts as not set, as compose files leave it. Raise ConfigurationError when the
    file that `<root>ENV_FILE` names cannot be read.
    """
    environment = os.environ if environment is None else environment
    raw = {name: Raw(text, "backend dev") for name, text in (overlay or {}).items()}
    path = environment.get(f"{root}ENV_FILE")
    if path:
        raw |= {name: Raw(text, path) for name, text in _read_file(path, f"{root}ENV_FILE").items()}
    raw |= {name: Raw(text, "environment") for name, text in environment.items()}
    return {name: value for name, value in raw.items() if name.startswith(root) and value.text.strip()}


def _read_file(path: str, variable: str) -> dict[str, str]:
    try:
        with Path(path).open(encoding="utf-8") as lines:
            values = dotenv_values(stream=lines, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError([Fault(variable, f"expected a readable file at {path!r}: {reason}")]) from None
    return {name: text for name, text in values.items() if text is not None}


def load(
    groups: Mapping[str, type[Settings]],
    raw: Mapping[str, Raw],
    *,
    known: Mapping[str, type[Settings]] | None = None,
    ignored_prefixes: tuple[str, ...] = (),
    root: str = "BACKEND_",
    strict: bool = True,
    program: str = "backend",
) -> Configuration:
    """Read `groups` (plugin → group). Variables of `known` groups and under `ignored_prefixes` are not unknown."""
    known = known or {}
    links = _service_links(raw, root)
    raw = {name: value for name, value in raw.items() if name not in links}
    described = {plugin: list(describe(plugin, group)) for plugin, group in {**groups, **known}.items()}
    loading = _Loading(raw)
    loading.faults.extend(_clashes(described))
    for plugin, group in groups.items():
        loading.load(plugin, group, described[plugin])
    variables = tuple(variable for rows in described.values() for variable in rows)
    names = {variable.name for variable in variables}
    unknown = _unknown(raw, names, root, ignored_prefixes)
    return Configuration(
        variables=variables,
        raw=raw,
        groups=loading.groups,
        faults=tuple(loading.faults + (unknown if strict else [])),
        warnings=(*_told_of_links(links, names), *(() if strict else unknown)),
        program=program,
    )


def describe(plugin: str, group: type[Settings], path: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Return the variables of a group, those of the groups in it included."""
    prefix = group.prefix if group.prefix is not None else f"BACKEND_{plugin.upper()}_"
    for name, info in group.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from describe(plugin, kind, (*path, name))
            continue
        yield Variable(
            name=prefix + name.rstrip("_").upper(),
            plugin=plugin,
            group=group,
            path=(*path, name),
            type=_type_name(info),
            default=_default(info),
            secret=_mentions(info.annotation, SecretStr),
            required_by=_required_by(info),
        )


def _first_sentence(doc: str) -> str:
    return doc.partition(". ")[0].removesuffix(".")


def _required_by(info: FieldInfo) -> tuple[str, ...]:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    commands = extra.get("required_by", [])
    return tuple(str(command) for command in commands) if isinstance(commands, list) else ()


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def _type_name(info: FieldInfo) -> str:
    named = next((mark.name for mark in reversed(info.metadata) if isinstance(mark, TypeName)), None)
    return named or _annotation_name(info.annotation)


def _annotation_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _annotation_name(next(part for part in arguments if part is not type(None)))
    if origin is Literal:
        return "one of " + ", ".join(str(argument) for argument in arguments)
    if hasattr(annotation, "__metadata__"):
        named = next((mark.name for mark in annotation.__metadata__ if isinstance(mark, TypeName)), None)
        return named or _annotation_name(annotation.__origin__)
    names = {str: "text", int: "integer", float: "number", bool: "boolean", SecretStr: "secret", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(info: FieldInfo) -> str | None:
    value = info.get_default(call_default_factory=True, validated_data={})
    if info.is_required() or value is None:
        return None
    if isinstance(value, SecretStr):
        return value.get_secret_value()  # a default is known to everybody
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)


def _faults(error: ValidationError, group: type[Settings], plugin: str) -> Iterator[Fault]:
    names = {variable.path: variable.name for variable in describe(plugin, group)}
    for detail in error.errors(include_url=False, include_input=False):
        path = tuple(str(part) for part in detail["loc"])
        known = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in names), None)
        yield Fault(_group_name(plugin, group, path) if known is None else names[known], _expected(explain(detail)))


def _group_name(plugin: str, group: type[Settings], path: tuple[str, ...]) -> str:
    for name in path:
        inner = group.model_fields[name].annotation if name in group.model_fields else None
        if isinstance(inner, type) and issubclass(inner, Settings):
            group = inner
    return f"{group.prefix or f'BACKEND_{plugin.upper()}_'}*"


def _expected(message: str) -> str:
    """Say what was expected of a variable, as every other fault of the configuration does."""
    for verb in ("must be ", "must have "):
        if message.startswith(verb):
            return f"expected {message.removeprefix(verb)}"
    return "required" if message == "is required" else message


def _clashes(described: Mapping[str, list[Variable]]) -> Iterator[Fault]:
    owners: dict[str, str] = {}
    for plugin, variables in described.items():
        for variable in variables:
            owner = owners.setdefault(variable.name, plugin)
            if owner != plugin:
                yield Fault(
                    variable.name,
                    f"claimed by both plugin {owner!r} and plugin {plugin!r}: disable or uninstall one of them",
                )


def _service_links(raw: Mapping[str, Raw], root: str) -> list[str]:
    """Return the variables that Kubernetes has added for its services, in order."""
    return sorted(name for name, value in raw.items() if _is_link(name.removeprefix(root), value.text))


def _is_link(name: str, text: str) -> bool:
    if _LINK.fullmatch(name):
        return True
    return _LINK_PORT.fullmatch(name) is not None and _LINK_URL.fullmatch(text.strip()) is not None


def _told_of_links(links: Sequence[str], known: set[str]) -> Iterator[Fault]:
    """Say which settings count as not set; what else there is of such variables does no harm, and is said once."""
    advice = "set enableServiceLinks: false in the pod's specification"
    for name in links:
        if name in known:
            yield Fault(name, f"counts as not set, since its value is a Kubernetes service link: {advice}")
    others = [name for name in links if name not in known]
    if others:
        yield Fault(others[0], f"passed over with {len(others) - 1} others, as Kubernetes service links: {advice}")


def _unknown(raw: Mapping[str, Raw], known: set[str], root: str, ignored: tuple[str, ...]) -> list[Fault]:
    endings = [name.removeprefix(root) for name in known]  # a shared prefix would make any two look alike
    faults = []
    for name in sorted(set(raw) - known):
        if name.startswith((*ignored, f"{root}SERVICE_", f"{root}PORT")):  # of the service that is called as we are
            continue
        near = difflib.get_close_matches(name.removeprefix(root), endings, n=1)
        hint = f"did you mean {root}{near[0]}?" if near else "no installed plugin has it"
        faults.append(Fault(name, f"unknown variable: {hint}"))
    return faults
