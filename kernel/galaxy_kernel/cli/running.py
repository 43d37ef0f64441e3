"""`backend serve`."""

import typer
import uvloop

from galaxy_chassis.gc_tuning import freeze
from galaxy_chassis.logs import configure_logging, flush, get_logger, install_crash_dumps
from galaxy_kernel.core.assembly import KERNEL, Assembly, assemble
from galaxy_kernel.core.kernel import Kernel


def serve() -> None:
    """Run the backend in this process."""
    assembly = assemble()
    assembly.configuration.check("serve")
    settings = assembly.kernel_settings
    configure_logging(settings.log_level)
    install_crash_dumps(flush)
    for warning in assembly.configuration.warnings:
        get_logger("galaxy_kernel.cli", plugin=KERNEL).warning("configuration_fault_ignored", fault=str(warning))
    try:
        status = uvloop.run(_serve(assembly))
    finally:
        flush()
    raise typer.Exit(status)


async def _serve(assembly: Assembly) -> int:
    async def ready(_: Kernel) -> None:
        freeze()

    return await Kernel(assembly).serve(ready)
