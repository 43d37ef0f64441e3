"""What records and /proc say of engines, as `Observed`."""

import signal
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from galaxy_engine.drivers.driver import EngineId, Observed
from galaxy_engine.drivers.process import procfs
from galaxy_engine.drivers.process.ports import ADDRESS
from galaxy_engine.drivers.process.procfs import Process
from galaxy_engine.drivers.process.records import Ending, Entry


def observed(entry: Entry, boot: str, *, leftovers: bool = False) -> Observed:
    """Return the recorded engine as it is now. `leftovers`: whether processes with its identity live."""
    record, ending = entry.record, entry.ending
    engine = Observed(
        record.id, record.handle, record.image, "running", f"{ADDRESS}:{record.port}", started_at=record.started_at
    )
    if ending is None and record.boot == boot:
        found = procfs.stat(record.pid)
        if found is not None and found.start == record.start:
            if not found.zombie:
                return engine
            ending = Ending(procfs.exit_code(found.exit_status), record.started_at)  # not reaped yet
    return Observed(
        record.id,
        record.handle,
        record.image,
        "ended",
        None,
        started_at=record.started_at,
        exit_code=ending.exit_code if ending else None,
        detail=_detail(ending) + ("; processes that it started live on" if leftovers else ""),
    )


def _detail(ending: Ending | None) -> str:
    if ending is None:
        return "ended with the process that started it"
    if ending.exit_code is None:
        return "ended with an unknown status"
    if ending.exit_code > 128:
        number = ending.exit_code - 128
        return (
            f"killed by {signal.Signals(number).name}" if number in list(signal.Signals) else f"status {number + 128}"
        )
    return f"ended with status {ending.exit_code}"


def unrecorded(processes: Sequence[Process]) -> list[Observed]:
    """Return the engines whose records somebody removed: ended, where only processes that they started live."""
    by_id: dict[EngineId, list[Process]] = defaultdict(list)
    for process in processes:
        by_id[process.id].append(process)
    return [_unrecorded(sorted(group, key=lambda process: process.start)) for group in by_id.values()]


def _unrecorded(group: Sequence[Process]) -> Observed:
    leaders = [process for process in group if process.leads]
    if leaders:
        first = leaders[0]
        address = f"{ADDRESS}:{first.port}"
        return Observed(first.id, first.handle, first.image, "running", address, detail="its record is gone")
    first = group[0]
    return Observed(
        first.id, first.handle, first.image, "ended", None, detail="ended; processes that it started live on"
    )


def starting(engine: Observed) -> Observed:
    """Return the engine as one whose launch is not done: it may not run its executable yet."""
    return msgspec.structs.replace(engine, state="starting", address=None, detail="being launched")
