"""Parameters of path and query: converts strings to the types of the handler's annotations."""

import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import parse_qsl, unquote

from pydantic import TypeAdapter, ValidationError

from galaxy_chassis.http.problems import FieldError
from galaxy_kernel.http.faults import field_errors, invalid_request, nul_faults
from galaxy_kernel.http.model import Model

MOST_FIELDS = 200
"""Fields of one query or form."""

_NOTATIONS = {
    bool: (re.compile("true|false"), "must be true or false"),
    int: (re.compile("-?[0-9]+"), "must be a whole number"),
}
"""How values are written: pydantic would also take `yes`, `on` and `1_000`, of which the description knows nothing."""
Notation = tuple[re.Pattern[str], str]
"""What the text of a parameter must match, and what is said where it does not."""


class PathParameter:
    """One parameter of a path."""

    __slots__ = ("_notation", "adapter", "name")

    def __init__(self, name: str, adapter: TypeAdapter[Any], annotation: Any = None) -> None:
        self.name, self.adapter = name, adapter
        self._notation = notation(annotation)

    def parse(self, segment: str, faults: list[FieldError]) -> Any:
        """Return the value of an undecoded segment; add to `faults` what is wrong with it."""
        text = segment
        if "%" in segment:
            try:
                text = unquote(segment, errors="strict")
            except UnicodeDecodeError:
                faults.append(FieldError(self.name, "must be UTF-8, percent-encoded"))
                return None
        nul = nul_faults(text, self.name)
        if nul:
            faults += nul
            return None
        if self._notation is not None and not self._notation[0].fullmatch(text):
            faults.append(FieldError(self.name, self._notation[1]))
            return None
        try:
            return self.adapter.validate_strings(text)
        except ValidationError as error:
            faults += field_errors(error, text, root=self.name)
            return None


class Query:
    """The query string of one operation."""

    __slots__ = ("_absent", "_adapter", "_notations", "_repeatable", "model")

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self._adapter: TypeAdapter[Any] = TypeAdapter(model)
        self._repeatable = {
            field.alias or name: repeatable(field.annotation) for name, field in model.model_fields.items()
        }
        self._notations = {
            field.alias or name: found
            for name, field in model.model_fields.items()
            if (found := notation(field.annotation)) is not None
        }
        try:
            self._absent: Any = self._adapter.validate_python({})
        except ValidationError:
            self._absent = None

    def parse(self, raw: str) -> Any:
        """Return the model of a query string. Raise 422 `invalid_request` with every fault."""
        if not raw and self._absent is not None:
            return self._absent
        return self.take(_split(raw))

    def take(self, fields: dict[str, list[str]]) -> Any:
        """Return the model of fields that are split already. Raise 422 `invalid_request` with every fault."""
        given: dict[str, Any] = {}
        faults: list[FieldError] = []
        for name, values in fields.items():
            many = self._repeatable.get(name)
            if many is None:
                faults.append(FieldError(name, "is not a known parameter"))
            elif len(values) > 1 and not many:
                faults.append(FieldError(name, "is given more than once"))
            else:
                given[name] = values if many else values[0]
                if name in self._notations and not all(map(self._notations[name][0].fullmatch, values)):
                    faults.append(FieldError(name, self._notations[name][1]))
        faults += nul_faults(given, "query")
        try:
            value = self._adapter.validate_python(given)
        except ValidationError as error:
            known = {fault.field for fault in faults}
            found = field_errors(error, given, root="query")
            faults += [each for each in found if known.isdisjoint((each.field, each.field.partition(".")[0]))]
            value = None
        if faults:
            raise invalid_request(faults)
        return value


def refuse_query(raw: str) -> None:
    """Refuse a query where the operation has none."""
    names = _split(raw)
    if names:
        raise invalid_request([FieldError(name, "is not a known parameter") for name in names])


def repeatable(annotation: Any) -> bool:
    """Return whether a parameter of this type may be repeated."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return repeatable(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(repeatable(member) for member in get_args(annotation))
    kind = origin or annotation
    return isinstance(kind, type) and issubclass(kind, Sequence | set | frozenset) and not issubclass(kind, str | bytes)


def notation(annotation: Any) -> Notation | None:
    """Return how a parameter of this type, or of a list or union of it, is written; None where pydantic decides."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return notation(parts[0])
    if not parts:
        return _NOTATIONS.get(annotation)
    found = {notation(part) for part in parts if part not in (type(None), Ellipsis)}
    return found.pop() if len(found) == 1 else None


def _split(raw: str) -> dict[str, list[str]]:
    try:
        return gather(parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except UnicodeDecodeError:
        raise invalid_request([FieldError("query", "must be UTF-8, percent-encoded")]) from None
    except ValueError:
        raise invalid_request([FieldError("query", f"must have at most {MOST_FIELDS} parameters")]) from None


def gather(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the values of each name, in their order; long names are cut."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name[:80].replace("\0", ""), []).append(value)
    return values
