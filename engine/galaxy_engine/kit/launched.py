"""A subject that the kit starts, by a driver: as many engines as it needs, all of them removed in the end."""

import contextlib
import secrets
import uuid
from collections.abc import Iterator
from datetime import timedelta

from galaxy_engine.drivers.driver import EngineDriver, EngineId, EngineSpec, Observed, PullPolicy
from galaxy_engine.failures import EngineFailure, StartFailed
from galaxy_engine.kit.findings import Skipped
from galaxy_engine.kit.subject import Engine
from galaxy_engine.kit.trace import Trace
from galaxy_engine.transport import Transport

_VARIANTS = (
    {"TZ": "UTC", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1", "HOSTNAME": "engine-one"},
    {
        "TZ": "Pacific/Kiritimati",
        "LANG": "de_DE.UTF-8",
        "LC_ALL": "de_DE.UTF-8",
        "PYTHONHASHSEED": "20240229",
        "HOSTNAME": "engine-two",
    },
)
_VARIABLES = ("ENGINE", "OTHER", "FRESH", "STOPPED", "ELSEWHERE")
"""Shell variables in curl lines, by variant."""


@contextlib.contextmanager
def _host_is_needed() -> Iterator[None]:
    """Skip the check that is being made if the host of the engines fails: it tells nothing of the engine."""
    try:
        yield
    except EngineFailure as exc:
        raise Skipped(f"the host of engines fails: {exc}", cause=exc.code) from exc


class LaunchedSubject:
    """Engines of one image or executable.

    The driver must have an owner of its own, so that closing removes what the kit has started and nothing else.
    """

    launches = True

    def __init__(
        self, image: str, driver: EngineDriver, owner: str, trace: Trace, pull: PullPolicy = "if_missing"
    ) -> None:
        self.name = image
        self.kind = driver.name
        self._driver = driver
        self._owner = owner
        self._trace = trace
        self._pull = pull
        self._game = uuid.uuid4()
        self._image: str | None = None
        self._generation = 0
        self._token = secrets.token_hex(16)
        self._transports: list[Transport] = []
        self._observed: dict[str, Observed] = {}

    async def start(self, variant: int, port: int | None = None) -> Engine:
        """Return a new engine."""
        if self._image is None:
            await self._driver.check()
            self._image = (await self._driver.prepare(self.name, self._pull)).image
        self._generation += 1
        environment = {**_VARIANTS[variant % len(_VARIANTS)], "GALAXY_TOKEN": self._token}
        identity = EngineId(self._owner, self._game, self._generation)
        observed = await self._driver.launch(EngineSpec(identity, self._image, environment, port=port))
        if observed.address is None:
            raise StartFailed(f"{self.name} has no address", await self._last_words(observed))
        self._transports.append(Transport())
        self._observed[observed.address] = observed
        variable = _VARIABLES[variant % len(_VARIABLES)]
        return Engine(self._transports[-1], observed.address, self._trace, variable=variable, token=self._token)

    async def stop(self, engine: Engine, grace: float) -> None:
        """Stop and remove it."""
        with _host_is_needed():
            await self._driver.remove(self._observed[engine.address].handle, timedelta(seconds=grace))

    async def state(self, engine: Engine) -> str:
        """Return how it is, and the end of what it wrote."""
        handle = self._observed[engine.address].handle
        with _host_is_needed():
            found = [seen for seen in await self._driver.observe(self._game) if seen.handle == handle]
        if not found:
            return "gone"
        return f"{self._described(found[0])}{await self._last_words(found[0])}"

    async def close(self) -> str:
        """Remove every engine of this owner, and close the connections; return why some may be left."""
        try:
            if self._generation:
                for observed in await self._driver.observe(self._game):
                    await self._driver.remove(observed.handle, timedelta(0))
        except EngineFailure as exc:
            return f"engines may be left on their host: {exc}"
        finally:
            for transport in self._transports:
                await transport.close()
            await self._driver.close()
        return ""

    @staticmethod
    def _described(observed: Observed) -> str:
        if observed.oom_killed:
            return "killed, because it used more memory than its limit"
        if observed.state == "ended":
            return f"ended with exit code {observed.exit_code}"
        return observed.state

    async def _last_words(self, observed: Observed) -> str:
        try:
            written = (await self._driver.logs(observed.handle, 2000)).strip()
        except EngineFailure:
            return ""
        return f"; it wrote: {written}" if written else ""
