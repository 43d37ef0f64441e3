"""`gateway doctor`: tries everything that this gateway depends on, and names the remedy for each fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import grpc

from galaxy_chassis.clock import SystemClock
from galaxy_chassis.doctor import Finding, examined
from galaxy_chassis.errors import BootError, ConfigurationError
from galaxy_chassis.http.client_address import is_private
from galaxy_chassis.http.problems import Problem
from galaxy_gateway.forwarding.backends import Backends
from galaxy_gateway.gateway import configure
from galaxy_gateway.introspection import introspect
from galaxy_gateway.settings import GATEWAY, GatewaySettings
from galaxy_gateway.store.errors import StoreUnavailableError
from galaxy_gateway.store.opening import open_store
from galaxy_gateway.streams.backend import ProtocolError, connected, credentials, read_cursor
from galaxy_gateway.tls import authorities, certificate

PATIENCE = 5.0
"""Seconds that each of them may take to answer."""
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


async def examine() -> list[Finding]:
    """Check everything, and return what was found, each with what to do about it."""
    configuration = configure()
    try:
        configuration.check("serve")
    except ConfigurationError as error:
        return [Finding("configuration", "failed", str(fault)) for fault in error.faults]
    settings = configuration.settings_of(GATEWAY, GatewaySettings)
    findings = [Finding("configuration", "warning", str(warning)) for warning in configuration.warnings]
    findings += [finding async for finding in _settings(settings)]
    found = await asyncio.gather(
        *(examined(f"backend {url}", partial(_backend, settings, url)) for url in settings.backend_url),
        *(examined(f"live events {each}", partial(_live_events, settings, each)) for each in settings.push_addr),
        examined("store", partial(_store, settings)),
    )
    return findings + [finding for each in found for finding in each]


async def _settings(settings: GatewaySettings) -> AsyncIterator[Finding]:
    """Check what needs nobody else."""
    for origin in (*settings.cookie_origins, *settings.cors_origins):
        if origin.startswith("http://") and urlsplit(origin).hostname not in _LOOPBACK:
            yield Finding("origins", "warning", f"{origin} is not HTTPS: whoever is on the way can act as its page")
    try:
        found = certificate(settings.tls_certificate, settings.tls_key)
        authorities(settings.backend_ca, "GATEWAY_BACKEND_CA")
    except ConfigurationError as error:
        yield Finding("certificate", "failed", str(error))
        return
    if found is not None:
        yield Finding("certificate", "ok", str(settings.tls_certificate))
    elif not (settings.listen_addr.startswith("localhost:") or is_private(settings.listen_addr)):
        detail = "clients reach this gateway without TLS: set GATEWAY_TLS_CERTIFICATE, or put a TLS proxy in front"
        yield Finding("certificate", "warning", detail)


async def _backend(settings: GatewaySettings, url: str) -> list[Finding]:
    name = f"backend {url}"
    try:
        async with asyncio.timeout(PATIENCE), _opened(settings, url) as backends:
            await introspect(backends, settings.gateway_token, "")
    except ConfigurationError as error:
        return [Finding(name, "failed", str(error))]
    except Problem as problem:
        return [Finding(name, "failed", f"{problem.detail} Is GATEWAY_BACKEND_URL right, and does it run?")]
    except TimeoutError:
        return [Finding(name, "failed", f"no answer within {PATIENCE:g} s: is a firewall in between?")]
    return [Finding(name, "ok", "it answers, and knows this gateway")]


@asynccontextmanager
async def _opened(settings: GatewaySettings, url: str) -> AsyncIterator[Backends]:
    tls = authorities(settings.backend_ca, "GATEWAY_BACKEND_CA")
    backends = Backends((url,), timeout=PATIENCE, clock=SystemClock(), tls=tls)
    try:
        yield backends
    finally:
        await backends.close()


async def _live_events(settings: GatewaySettings, address: str) -> list[Finding]:
    name = f"live events {address}"
    try:
        async with (
            asyncio.timeout(PATIENCE),
            connected(address, settings.gateway_token, "doctor", credentials(settings.stream)) as backend,
        ):
            async for frame in backend.subscribe(""):
                read_cursor(frame.opening.cursor)
                break
    except grpc.aio.AioRpcError as error:
        return [Finding(name, "failed", f"{error.code().name}: {error.details()}: is GATEWAY_PUSH_ADDR right?")]
    except (ProtocolError, BootError) as error:
        return [Finding(name, "failed", str(error))]
    except TimeoutError:
        return [Finding(name, "failed", f"no answer within {PATIENCE:g} s: is a firewall in between?")]
    return [Finding(name, "ok", "a subscription opens")]


async def _store(settings: GatewaySettings) -> list[Finding]:
    url = settings.redis_url.get_secret_value()
    scheme = urlsplit(url).scheme
    store = open_store(url, SystemClock())
    try:
        await store.ping()
    except StoreUnavailableError as error:
        return [Finding("store", "failed", f"{error}: is GATEWAY_REDIS_URL right, and does Redis run?")]
    finally:
        await store.aclose()
    if scheme == "memory":
        return [Finding("store", "ok", "memory://: right for a gateway that is the only one")]
    return [Finding("store", "ok", f"{scheme}:// answers")]
