"""What `backend doctor` looks at: whether the country database can be used."""

from collections.abc import Sequence

from galaxy_geo.settings import GeoSettings
from galaxy_geo.watching import CountryFile
from galaxy_kernel.api import Context, DoctorCheck, Finding


def checks(context: Context[GeoSettings]) -> Sequence[DoctorCheck]:
    """Return the plugin's checks."""

    async def check() -> Sequence[Finding]:
        file = CountryFile(context.settings.db_path, log=context.log)
        await file.look()
        return [judge(file, named=context.settings.db_path is not None)]

    return (DoctorCheck("country database", check),)


def judge(file: CountryFile, *, named: bool) -> Finding:
    """Return the finding on a file that was read; no file is a choice, a bad one a fault."""
    health, database = file.health(), file.database
    if health.state != "ok" or database is None:
        return Finding("country database", "failed" if named else "warning", health.detail)
    built = f", built {database.built_at:%Y-%m-%d}" if database.built_at else ""
    return Finding("country database", "ok", f"{database.type} of {database.networks} networks{built}")
