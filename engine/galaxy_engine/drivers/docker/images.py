"""Images: what is here, and pulls, of which there is one at a time for each image, however many wait for it."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

from aiodocker import DockerError

from galaxy_engine.drivers.docker import credentials
from galaxy_engine.drivers.docker.daemon import Daemon, Json
from galaxy_engine.drivers.docker.references import Reference, digest_of, parse
from galaxy_engine.drivers.driver import Prepared, PullPolicy
from galaxy_engine.failures import ConfigInvalid, EngineFailure, ImageNotFound, PullFailed

_NOT_FOUND = ("manifest unknown", "not found", "does not exist")
_OTHER_PLATFORM = ("no matching manifest", "no match for platform")
_DONE = ("Status: Downloaded newer image", "Status: Image is up to date", "Status: Downloaded image")
_STANDSTILL = "Retrying in"
"""The beginning of what the daemon writes each second while it waits for a registry that failed."""


class Images:
    """The images of one daemon."""

    def __init__(self, daemon: Daemon, patience: timedelta, credentials: Path | None = None) -> None:
        """`patience`: how long a pull may go without progress. `credentials`: a `config.json` with logins."""
        self._daemon = daemon
        self._patience = patience
        self._credentials = credentials
        self._pulls: dict[str, _Pull] = {}

    async def find(self, reference: Reference) -> Json | None:
        """Return what the daemon knows of the image, None if it is not here."""
        return await self._daemon.ask(lambda docker: docker.images.inspect(reference.text))

    async def get(self, image: str) -> Json:
        """Return what the daemon knows of the image. Raise `ImageNotFound` if it is not here."""
        found = await self.find(reference_of(image))
        if found is None:
            raise ImageNotFound(f"the image {image} is not here")
        return found

    async def prepare(self, image: str, policy: PullPolicy) -> Prepared:
        """Ensure that the image is here, as the policy says."""
        reference = reference_of(image)
        here = await self.find(reference)
        if policy == "always" or (here is None and policy == "if_missing"):
            try:
                await self._pull(reference)
            except EngineFailure as failure:
                raise _despite(failure, reference, here) from failure
            here = await self.find(reference)
        if here is None:
            raise ImageNotFound(f"the image {image} is not here", f"pull policy {policy}")
        return Prepared(image, digest_of(reference, here.get("RepoDigests") or ()), here.get("Size"))

    async def _pull(self, reference: Reference) -> None:
        """Wait for the image's one pull, which is cancelled when nobody waits for it any more."""
        if not reference.pullable:
            raise ImageNotFound(f"the image {reference.text} is not here, and an id cannot be pulled")
        pull = self._pulls.get(reference.text)
        if pull is None:
            pull = self._pulls[reference.text] = _Pull(asyncio.ensure_future(self._download(reference)))
        pull.waiting += 1
        try:
            await asyncio.shield(pull.task)
        finally:
            pull.waiting -= 1
            if pull.waiting == 0 or pull.task.done():
                pull.task.cancel()
                if self._pulls.get(reference.text) is pull:
                    del self._pulls[reference.text]

    async def _download(self, reference: Reference) -> None:
        try:
            async with asyncio.timeout(self._patience.total_seconds()) as limit:
                await self._follow(reference, limit)
        except TimeoutError as error:
            await self._daemon.ask(lambda docker: docker.version())  # or is it the daemon that stands still?
            raise PullFailed(f"the pull of {reference.text} made no progress for {self._patience}") from error
        except DockerError as error:
            raise _failure(reference.text, error.status, error.message) from error

    async def _follow(self, reference: Reference, limit: asyncio.Timeout) -> None:
        """Read the progress to its end; the daemon goes on only as long as somebody reads."""
        loop = asyncio.get_running_loop()
        params = {"fromImage": reference.repository, "tag": reference.digest or reference.tag or "latest"}
        login = await credentials.headers(self._credentials, reference.repository)
        status = ""
        async with self._daemon.stream("POST", "images/create", params, 2 * self._patience, login) as lines:
            async for line in lines:
                progress = json.loads(line)
                if "error" in progress:
                    raise _failure(reference.text, 0, str(progress["error"]))
                status = str(progress.get("status", ""))
                if not status.startswith(_STANDSTILL):
                    limit.reschedule(loop.time() + self._patience.total_seconds())
        if not status.startswith(_DONE):
            raise PullFailed(f"the pull of {reference.text} was cut off", status)


class _Pull:
    """A pull and how many wait for it."""

    def __init__(self, task: "asyncio.Future[None]") -> None:
        self.task = task
        self.waiting = 0


def reference_of(image: str) -> Reference:
    """Return the reference. Raise `ImageNotFound` if it is not one: no registry can have it."""
    reference = parse(image)
    if reference is None:
        raise ImageNotFound(f"{image!r} is not a reference of an image")
    return reference


def _failure(image: str, status: int, message: str) -> EngineFailure:
    """Return what the answer, or an error amid the progress (status 0), means."""
    lower = message.lower()
    if any(text in lower for text in _OTHER_PLATFORM):
        return ConfigInvalid(f"the image {image} is not there for the daemon's platform", message)
    if status in {400, 404} or (status == 0 and any(text in lower for text in _NOT_FOUND)):
        return ImageNotFound(f"the registry does not have the image {image}", message)
    return PullFailed(f"the image {image} could not be pulled", message)


def _despite(failure: EngineFailure, reference: Reference, here: Json | None) -> EngineFailure:
    """Return the failure of a pull where an older copy may be here: under `always` that is not a success."""
    if here is None or not isinstance(failure, ImageNotFound | PullFailed):
        return failure
    local = digest_of(reference, here.get("RepoDigests") or ()) or here["Id"]
    detail = f"{failure.detail or failure}; here is {local}"
    return PullFailed(f"the image {reference.text} could not be pulled, and the policy is always", detail)
