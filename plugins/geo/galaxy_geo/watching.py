"""Follows the operators' file: reads it when it appears or changes, and keeps the old one when the new one is bad."""

import asyncio
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from galaxy_geo.databases import CountryDatabase, Identity, identity_of, open_database
from galaxy_geo.errors import ChangingFileError, UnusableDatabaseError
from galaxy_kernel.api import Health

_VARIABLE = "BACKEND_GEOIP_DB_PATH"


class CountryFile:
    """One path, and the last good database found there."""

    def __init__(self, path: Path | None, *, log: FilteringBoundLogger) -> None:
        """Do no I/O: `look` does. `path` is None where operators name no file."""
        self._path, self._log = path, log
        self._judged: Identity | None = None
        """The file last judged, good or bad: the same one is not read again."""
        self._fault = ""
        self._looking = asyncio.Lock()
        self.database: CountryDatabase | None = None

    async def look(self) -> None:
        """Load the file at the path if it is new and good. Never raises: faults are logged and in `health`."""
        if self._path is not None:
            async with self._looking:
                await self._look(self._path)

    def health(self) -> Health:
        """Return whether countries can be looked up, and what to do where they cannot."""
        if self._path is None:
            return Health(
                "degraded", f"without {_VARIABLE} countries are unknown: set it to a country database (.mmdb)"
            )
        if not self._fault:
            return Health() if self.database else Health("degraded", "the country database has not been read yet")
        wrong = f"the file that {_VARIABLE} names {self._fault}"
        if self.database is None:
            return Health("degraded", f"{wrong}: no country is looked up until a good one is there")
        return Health("degraded", f"{wrong}: the one read before is still used; put a good one in its place")

    async def _look(self, path: Path) -> None:
        judged, self._judged = self._judged, None
        try:
            found = await asyncio.to_thread(identity_of, path)
            if found != judged:
                self._take(await asyncio.to_thread(open_database, path))
            self._judged = found  # taken before it was read: a file put there since differs, and is read next time
        except ChangingFileError as error:
            self._fault = str(error)
        except UnusableDatabaseError as error:
            self._judged = found
            self._refuse(str(error))
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            self._refuse("does not exist" if missing else f"cannot be read ({error.strerror})")

    def _take(self, database: CountryDatabase) -> None:
        self.database, self._fault = database, ""
        built = database.built_at.isoformat() if database.built_at else None
        self._log.info("country_database_read", type=database.type, built_at=built, networks=database.networks)

    def _refuse(self, fault: str) -> None:
        if fault != self._fault:
            self._log.warning("country_database_refused", reason=fault, kept=self.database is not None)
        self._fault = fault
