"""A contribution of a wrong type is refused at boot, by name."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from galaxy_contracts.fact import Fact
from galaxy_kernel.api import Access, DoctorCheck, Manifest, Probe, Route, RpcService, Worker, plugin_metadata
from galaxy_kernel.core.contributions import check_contribution, check_fields
from galaxy_kernel.core.hookspecs import HOOKS
from galaxy_kernel.core.manifest import Migrations
from galaxy_kernel.errors import PluginError


class Happened(Fact, frozen=True):
    """Something."""

    fact = "odd.happened"


async def do() -> None: ...


def worker(**options: Any) -> Worker:
    return Worker(**({"name": "odd.work", "run": do, "interval": timedelta(seconds=1)} | options))


def route(**options: Any) -> Route:
    values: dict[str, Any] = {
        "method": "GET",
        "path": "/api/v1/user/odd",
        "handler": do,
        "name": "odd.look",
        "summary": "Look.",
        "access": Access.USER,
        "errors": ("404 not_found",),
        "max_body": 5,
    }
    return Route(**(values | options))


WRONG: list[tuple[str, Callable[[], Any], str]] = [
    (
        "backend_workers",
        lambda: [worker(interval=5)],
        r"field 'interval' of Worker 'odd.work': expected .*timedelta, got int \(5\)",
    ),
    (
        "backend_workers",
        lambda: [worker(run="do")],
        r"field 'run' of Worker 'odd.work': expected .*Callable.*, got str \('do'\)",
    ),
    (
        "backend_workers",
        lambda: [worker(singleton=None)],
        r"field 'singleton' of Worker 'odd.work': expected bool, got None",
    ),
    ("backend_workers", lambda: [do], r"an item: expected .*Worker, got function"),
    ("backend_workers", worker, r"expected list \| tuple, got Worker"),
    (
        "backend_probes",
        lambda: [Probe("relay", do())],
        r"field 'check' of Probe 'relay': expected .*Callable.*, got coroutine",
    ),
    (
        "backend_probes",
        lambda: [Probe("relay", do, gates="live")],
        r"field 'gates' of Probe 'relay': expected .*'ready', 'report'.*, got str \('live'\)",
    ),
    (
        "backend_routes",
        lambda: [route(method="get")],
        r"field 'method' of Route 'odd.look': expected .*'GET'.*, got str \('get'\)",
    ),
    (
        "backend_routes",
        lambda: [route(errors=["404 x"])],
        r"field 'errors' of Route 'odd.look': expected tuple\[str.*, got list",
    ),
    (
        "backend_routes",
        lambda: [route(errors=(404,))],
        r"field 'errors' of Route 'odd.look': expected tuple\[str.*, got tuple \(\(404,\)\)",
    ),
    (
        "backend_routes",
        lambda: [route(max_body=True)],
        r"field 'max_body' of Route 'odd.look': expected int \| None, got bool",
    ),
    (
        "backend_routes",
        lambda: [route(access="user")],
        r"field 'access' of Route 'odd.look': expected .*Access \| None, got str",
    ),
    (
        "backend_rpc",
        lambda: [RpcService("x.Y", None)],
        r"field 'add' of RpcService 'x.Y': expected .*Callable.*, got NoneType",
    ),
    ("backend_caches", lambda: [{}], r"an item: expected .*Cache.*, got dict"),
    (
        "backend_migrations",
        lambda: Migrations("odd.migrations", None),
        r"field 'metadata' of Migrations: expected .*MetaData, got NoneType",
    ),
    ("backend_migrations", list, r"expected .*Migrations, got list"),
    ("backend_subscriptions", lambda: [Happened], r"expected .*Mapping, got list"),
    ("backend_subscriptions", lambda: {"odd.happened": do}, r"a key: expected type\[.*Fact\], got str"),
    ("backend_subscriptions", lambda: {Happened: "do"}, r"the value of Happened: expected .*Callable.*, got str"),
    ("backend_lifespan", lambda: None, r"expected .*AbstractAsyncContextManager.*, got NoneType"),
    (
        "backend_doctor",
        lambda: [DoctorCheck("relay", do, needs="relay")],
        r"field 'needs' of DoctorCheck 'relay': expected .*'settings', 'database'.*, got str \('relay'\)",
    ),
    ("backend_commands", lambda: do, r"expected .*Typer, got function"),
]


@pytest.mark.filterwarnings("ignore:coroutine 'do' was never awaited")
@pytest.mark.parametrize(("hook", "result", "says"), WRONG, ids=lambda value: None if callable(value) else str(value))
def test_wrong_types_are_named(hook: str, result: Callable[[], Any], says: str) -> None:
    """The sentence names plugin, hook, object and field, what was expected and what came."""
    with pytest.raises(PluginError, match=rf"^plugin 'odd': {hook}.*{says}"):
        check_contribution("odd", hook, result())


def test_every_hook_is_covered() -> None:
    """No hook's result goes unchecked."""
    assert {hook for hook, _, _ in WRONG} == set(HOOKS)


def test_right_types_pass() -> None:
    """What the hooks' annotations say is taken, by list or by tuple."""
    check_contribution("odd", "backend_workers", (worker(),))
    check_contribution("odd", "backend_probes", [Probe("relay", do)])
    check_contribution("odd", "backend_routes", [route(), route(max_body=None, access=None)])
    check_contribution("odd", "backend_rpc", [RpcService("x.Y", lambda server: None)])
    check_contribution("odd", "backend_migrations", Migrations("odd.migrations", plugin_metadata()))
    check_contribution("odd", "backend_subscriptions", {Happened: do})


def test_fields_of_any_dataclass_can_be_checked() -> None:
    """A tuple that was meant is not a single capability."""
    check_fields("here", Manifest(name="odd", summary="Odd."))
    with pytest.raises(PluginError, match=r"here, field 'requires' of Manifest 'odd': expected tuple\[.*, got str"):
        check_fields("here", Manifest(name="odd", summary="Odd.", requires="mail.outbox"))  # type: ignore[arg-type]
