"""A handler's signature, read once: the operation's parameters and answer."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

from aiohttp.web import StreamResponse
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from galaxy_kernel.errors import PluginError
from galaxy_kernel.http.call import Call, Html, RawJson, Response
from galaxy_kernel.http.forms import Form
from galaxy_kernel.http.model import Model
from galaxy_kernel.http.parameters import PathParameter, Query
from galaxy_kernel.http.route import Access, Route
from galaxy_kernel.http.router import parameters_of

_RESERVED = ("body", "query", "form", "call")


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters and the answer of one operation."""

    path: tuple[PathParameter, ...]
    query: Query | None
    body: TypeAdapter[Any] | None
    body_optional: bool
    wants_call: bool
    answer: TypeAdapter[Any] | None
    """None: the operation answers 204, or with a response of the handler's own making."""
    answer_model: type[BaseModel] | None
    """The model, where the answer is a single one: its own serialiser is the fastest."""
    raw: bool
    """Whether the handler makes the response itself, a stream for example."""
    raw_json: bool = False
    """Whether what is answered is JSON already."""
    html: bool = False
    """Whether what is answered is a page."""
    form: Form | None = None


def read_signature(plugin: str, route: Route) -> Signature:
    """Read the handler of a route. Raise PluginError for one that a request could not call."""
    return _Reader(plugin, route).read()


class _Reader:
    def __init__(self, plugin: str, route: Route) -> None:
        self._plugin, self._route = plugin, route

    def read(self) -> Signature:
        handler = self._route.handler
        target = _function_of(handler)
        if not inspect.iscoroutinefunction(target):
            raise self._refusal("its handler is not an async function: declare it with async def")
        hints = self._hints(target)
        names = self._path_names()
        taken = self._taken(handler, hints)
        for name in names:
            if name not in taken:
                raise self._refusal(f"its path has {{{name}}}, which the handler does not take: add the parameter")
        for name in taken:
            if name not in names and name not in _RESERVED:
                raise self._refusal(
                    f"its handler takes {name!r}, which is not body, query, form, call or a parameter of the path: "
                    "rename or remove it"
                )
        if "call" in taken and hints["call"] is not Call:
            raise self._refusal("its handler's parameter 'call' must be annotated Call")
        body = hints["body"] if "body" in taken else None
        answer = self._answer_type(hints)
        raw = isinstance(answer, type) and issubclass(answer, StreamResponse)
        return Signature(
            path=tuple(PathParameter(name, self._adapter(hints[name], f"{name!r}"), hints[name]) for name in names),
            query=self._query(hints["query"]) if "query" in taken else None,
            body=self._body(body) if "body" in taken else None,
            body_optional=type(None) in get_args(body),
            wants_call="call" in taken,
            answer=None if answer is None or raw else self._adapter(answer, "what its handler returns"),
            answer_model=answer if isinstance(answer, type) and issubclass(answer, BaseModel) else None,
            raw=raw,
            raw_json=answer is RawJson,
            html=answer is Html,
            form=self._form(hints["form"], with_body="body" in taken) if "form" in taken else None,
        )

    def _path_names(self) -> tuple[str, ...]:
        try:
            names = parameters_of(self._route.path)
        except ValueError as error:
            raise self._refusal(f"its path is not well formed: {error}") from None
        for name in _RESERVED:
            if name in names:
                raise self._refusal(f"its path has a parameter {name!r}, a name the kernel keeps: rename it")
        return names

    def _hints(self, target: Callable[..., Any]) -> dict[str, Any]:
        try:
            return get_type_hints(target, include_extras=True)
        except Exception as error:
            raise self._refusal(
                f"an annotation of its handler cannot be read ({error}): import the name where the handler's "
                "module can see it, outside TYPE_CHECKING"
            ) from error

    def _taken(self, handler: Callable[..., Any], hints: dict[str, Any]) -> list[str]:
        bound = set(handler.keywords) if isinstance(handler, functools.partial) else set()
        taken: list[str] = []
        for name, parameter in inspect.signature(handler).parameters.items():
            if name in bound:
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise self._refusal(f"its handler's parameter {name!r} cannot be passed by name: declare it plainly")
            if name not in hints:
                raise self._refusal(f"its handler's parameter {name!r} has no annotation: add one")
            taken.append(name)
        return taken

    def _body(self, annotation: Any) -> TypeAdapter[Any]:
        if self._route.method == "GET":
            raise self._refusal("a GET takes no body: take 'query' instead, or change the method")
        return self._adapter(annotation, "'body'")

    def _query(self, annotation: Any) -> Query:
        return Query(self._model("query", annotation))

    def _form(self, annotation: Any, *, with_body: bool) -> Form:
        if self._route.method == "GET" or with_body:
            raise self._refusal("a form is the body of a request: take it alone, and not with GET")
        if self._route.access is Access.ADMIN:
            raise self._refusal("any web page could send a form as the operator who is signed in: take 'body' instead")
        return Form(self._model("form", annotation))

    def _model(self, name: str, annotation: Any) -> type[Model]:
        if not (isinstance(annotation, type) and issubclass(annotation, Model)):
            raise self._refusal(f"its handler's parameter {name!r} must be annotated with a Model")
        return annotation

    def _answer_type(self, hints: dict[str, Any]) -> Any:
        if "return" not in hints:
            raise self._refusal("its handler has no return annotation: add one, with None for 204")
        annotation = hints["return"]
        if annotation is Response:
            raise self._refusal("its handler returns Response without a type: write Response[SomeModel]")
        if get_origin(annotation) is Response:
            (annotation,) = get_args(annotation)
        return None if annotation is type(None) else annotation

    def _adapter(self, annotation: Any, what: str) -> TypeAdapter[Any]:
        try:
            return TypeAdapter(annotation)
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            raise self._refusal(f"{what} cannot be described: {error.message}") from error

    def _refusal(self, reason: str) -> PluginError:
        return refusal(self._plugin, self._route, reason)


def refusal(plugin: str, route: Route, reason: str) -> PluginError:
    """Return the error for an invalid route."""
    return PluginError(f"plugin {plugin!r}, route {route.name!r} ({route.method} {route.path}): {reason}")


def _function_of(handler: Callable[..., Any]) -> Callable[..., Any]:
    handler = undecorated(handler)
    if inspect.isfunction(handler) or inspect.ismethod(handler):
        return handler
    return type(handler).__call__


def undecorated(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the handler without the arguments that are bound to it."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler
