"""What a booted kernel measures, as tests read it."""

from galaxy_devkit.testing import Boot, Measured
from galaxy_kernel.api import Context, Counter, Gauge, Histogram, Manifest, NoSettings

CALLS, LEVEL = Counter("things.calls", "Calls.", ("outcome",)), Gauge("things.level", "Level.")
LENGTH = Histogram("things.length", "Length.", bounds=(1.0,))


made: list["Things"] = []


class Things:
    """A plugin with one metric of each kind."""

    manifest = Manifest(name="things", summary="For tests.")

    def __init__(self, context: Context[NoSettings]) -> None:
        made.append(self)
        self.calls, self.length = CALLS.on(context.meter), LENGTH.on(context.meter)
        LEVEL.observe(context.meter, lambda: 0)


async def test_values_are_read_by_label(boot: Boot) -> None:
    """Counters by their labels, a gauge that is zero, and the number of measurements; of others nothing."""
    async with boot(Things) as booted:
        measured = Measured(booted)
        things = made[-1]
        for outcome in ("done", "done", "failed"):
            things.calls.add(1, {"outcome": outcome})
        things.length.record(0.5)
        things.length.record(5.0)
        assert measured.values("things.calls") == {("done",): 2, ("failed",): 1}
        assert measured.values("things.level") == {(): 0}
        assert measured.values("things.length") == {(): 2}
        assert measured.values("things.other") == {}
