"""Finds the target for a method and a path."""

import re
from typing import Generic, TypeVar

T = TypeVar("T")

_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~-]+")


def parameters_of(path: str) -> tuple[str, ...]:
    """Return the names of a path's parameters, in order. Raise ValueError for a path that is not well formed."""
    names: list[str] = []
    if not path.startswith("/"):
        raise ValueError("it must begin with a slash")
    for segment in path[1:].split("/"):
        match = _PARAMETER.fullmatch(segment)
        if match is not None:
            names.append(match[1])
        elif _LITERAL.fullmatch(segment) is None:
            raise ValueError(f"segment {segment!r} is neither a plain word nor a parameter such as {{account_id}}")
    if len(set(names)) != len(names):
        raise ValueError("a parameter is in it twice")
    return tuple(names)


class _Node(Generic[T]):
    __slots__ = ("exact", "methods", "parameter")

    def __init__(self) -> None:
        self.exact: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.methods: dict[str, T] = {}


class NoSuchPath(LookupError):  # noqa: N818 # the names say the answer, 404 and 405
    """There is no target for this path."""


class NoSuchMethod(LookupError):  # noqa: N818 # as above
    """The path exists, but not with this method."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


class Router(Generic[T]):
    """A tree of path segments.

    An exact segment is preferred to a parameter; the path is chosen before the method is looked at. Paths are compared
    as they came, undecoded, so that an encoded slash stays inside its segment and an encoded word cannot bypass a
    proxy's rules. A parameter matches any one segment that is not empty.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._plain: dict[str, _Node[T]] = {}
        """Paths without parameters, found in one step."""

    def add(self, method: str, path: str, target: T) -> T | None:
        """Serve `method` on `path` with `target`; return the target that was there before, which is kept."""
        node, plain = self._root, True
        for segment in path[1:].split("/"):
            if _PARAMETER.fullmatch(segment):
                plain = False
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.exact.setdefault(segment, _Node())
        if plain:
            self._plain[path] = node
        if method in node.methods:
            return node.methods[method]
        node.methods[method] = target
        if method == "GET":
            node.methods.setdefault("HEAD", target)
        return None

    def find(self, method: str, path: str) -> tuple[T, list[str]]:
        """Return the target and the parameters' values, undecoded. Raise NoSuchPath or NoSuchMethod."""
        values: list[str] = []
        node = self._plain.get(path)
        if node is None:
            node = _descend(self._root, path.split("/"), 1, values) if path[:1] == "/" else None
            if node is None:
                raise NoSuchPath(path)
        target = node.methods.get(method)
        if target is None:
            raise NoSuchMethod(tuple(sorted(node.methods)))
        return target, values


def _descend(node: _Node[T], segments: list[str], at: int, values: list[str]) -> _Node[T] | None:
    if at == len(segments):
        return node if node.methods else None
    segment = segments[at]
    exact = node.exact.get(segment)
    if exact is not None:
        found = _descend(exact, segments, at + 1, values)
        if found is not None:
            return found
    if node.parameter is None or not segment:
        return None
    values.append(segment)
    found = _descend(node.parameter, segments, at + 1, values)
    if found is None:
        values.pop()
    return found
