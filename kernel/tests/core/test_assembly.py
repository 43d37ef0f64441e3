"""From what is installed and what is set to plugins in their order, without a database."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from galaxy_chassis.errors import BootError, ConfigurationError
from galaxy_contracts.capability import Capability
from galaxy_kernel.api import Settings
from galaxy_kernel.core import assembly as under_test
from galaxy_kernel.core.assembly import Assembly, assemble
from galaxy_kernel.core.context import Context
from galaxy_kernel.core.discovery import Discovery, InstalledPlugin, from_classes
from galaxy_kernel.core.manifest import Manifest
from galaxy_kernel.core.settings import KernelSettings
from galaxy_kernel.errors import CapabilityError, PhaseError, PluginError

SECRET = "a secret key for tests, of more than 32 bytes"
WATER: Capability[object] = Capability("well.water")


class GardenSettings(Settings):
    """What a garden is told."""

    beds: int = 3
    """How many beds."""


class Well:
    """Provides water."""

    manifest = Manifest(name="well", summary="For tests.", provides=(WATER,))
    made: ClassVar[list[Any]] = []

    def __init__(self, context: Context[Any]) -> None:
        self.context = context
        self.made.append(self)


class Garden(Well):
    """Requires water, and is listed before the well by its name."""

    manifest = Manifest(name="garden", summary="For tests.", settings=GardenSettings, requires=(WATER,))


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    Well.made.clear()


def assembled(*factories: type[Any], **environment: str) -> Assembly:
    return assemble(environment, discovery=from_classes(*factories))


def faults(assembly: Assembly) -> dict[str, str]:
    return {fault.variable: fault.message for fault in assembly.configuration.faults}


def test_plugins_are_made_in_the_order_of_what_they_require() -> None:
    """Whatever the order of listing; each has a context of its own, with its settings."""
    assembly = assembled(Garden, Well, BACKEND_GARDEN_BEDS="7")
    assert [found.name for found in assembly.found] == ["well", "garden"]
    assert assembly.plugins.names == ("well", "garden")
    well, garden = Well.made
    assert (type(well), type(garden)) == (Well, Garden)
    assert (well.context.plugin, garden.context.plugin) == ("well", "garden")
    assert garden.context.settings.beds == 7


def test_two_assemblies_share_nothing() -> None:
    """Two kernels live in one process, each with its instances and settings."""
    assembled(Garden, Well, BACKEND_GARDEN_BEDS="1")
    assembled(Garden, Well, BACKEND_GARDEN_BEDS="2")
    assert [made.context.settings.beds for made in Well.made if type(made) is Garden] == [1, 2]


def test_a_disabled_plugin_is_known_and_not_made() -> None:
    """Its variables are known, so that switching it off is one change."""
    assembly = assembled(Garden, Well, BACKEND_PLUGINS_DISABLED="garden, ", BACKEND_GARDEN_BEDS="9")
    assert assembly.plugins.names == ("well",)
    assert [found.name for found in assembly.disabled] == ["garden"]
    assert faults(assembly) == {}


def test_a_set_that_cannot_stand_is_refused_with_the_switched_off_provider() -> None:
    """Nothing is made then."""
    with pytest.raises(PluginError, match=r"'garden' requires 'well.water'.* 'well'"):
        assembled(Garden, Well, BACKEND_PLUGINS_DISABLED="well")
    assert Well.made == []


@pytest.mark.parametrize(("given", "hint"), [("gardn", "'garden'"), ("zzz", "garden, well")])
@pytest.mark.parametrize("strict", ["true", "false"])
def test_a_name_to_disable_that_nobody_has_is_a_fault(given: str, hint: str, strict: str) -> None:
    """It shows the nearest name, else all; where unknown variables are warnings, it is one too."""
    assembly = assembled(Garden, Well, BACKEND_PLUGINS_DISABLED=given, BACKEND_CONFIG_STRICT=strict)
    configuration = assembly.configuration
    told = configuration.faults if strict == "true" else configuration.warnings
    assert [fault.variable for fault in told] == ["BACKEND_PLUGINS_DISABLED"]
    assert repr(given) in told[0].message
    assert hint in told[0].message
    assert len(configuration.faults) + len(configuration.warnings) == 1


def test_variables_of_a_plugin_that_cannot_be_imported_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would know cannot be told, once it is switched off."""
    found = Discovery(from_classes(Well).enabled, (), ("letters",), ())
    monkeypatch.setattr(under_test, "discover", lambda off: found)
    assembly = assemble({"BACKEND_LETTERS_SIZE": "7", "BACKEND_LETERS_SIZE": "7"})
    assert list(faults(assembly)) == ["BACKEND_LETERS_SIZE"]


def test_faulty_settings_stop_nothing_until_they_are_read() -> None:
    """Commands that only look work all the same; who reads the settings hears of the fault."""
    assembly = assembled(Garden, Well, BACKEND_GARDEN_BEDS="many", BACKEND_LOG_LEVEL="loud")
    assert set(faults(assembly)) == {"BACKEND_GARDEN_BEDS", "BACKEND_LOG_LEVEL"}
    garden = Well.made[-1]
    with pytest.raises(ConfigurationError, match="BACKEND_GARDEN_BEDS"):
        _ = garden.context.settings
    with pytest.raises(ConfigurationError, match="BACKEND_LOG_LEVEL"):
        _ = assembly.kernel_settings
    with pytest.raises(ConfigurationError) as caught:
        assembly.configuration.check("plugins")
    assert len(caught.value.faults) == 2


def test_an_overlay_lies_below_what_the_person_has_set(tmp_path: Path) -> None:
    """`backend dev` chooses only what nobody else has chosen, the env file included."""
    (tmp_path / "env").write_text("BACKEND_HTTP_MAX_BODY=3000\n")
    overlay = {"BACKEND_HTTP_MAX_BODY": "2000", "BACKEND_LOG_LEVEL": "debug", "BACKEND_POSTGRES_POOL_SIZE": "7"}
    environment = {"BACKEND_ENV_FILE": str(tmp_path / "env"), "BACKEND_LOG_LEVEL": "error"}
    settings = assemble(environment, overlay=overlay, discovery=from_classes()).kernel_settings
    assert (settings.http_max_body, settings.log_level, settings.postgres_pool_size) == (3000, "error", 7)


def test_an_env_file_that_cannot_be_read_is_a_fault_of_its_variable(tmp_path: Path) -> None:
    """Nothing is assembled from half of the settings."""
    with pytest.raises(ConfigurationError, match="BACKEND_ENV_FILE"):
        assembled(Well, BACKEND_ENV_FILE=str(tmp_path / "nowhere"))


def test_a_constructor_that_fails_is_named() -> None:
    """The error says whose it is; one that refuses the boot on purpose passes as it is."""

    class Dry(Well):
        def __init__(self, context: Context[Any]) -> None:
            raise RuntimeError("no water")

    class Closed(Well):
        def __init__(self, context: Context[Any]) -> None:
            raise BootError("closed on purpose")

    with pytest.raises(PhaseError) as caught:
        assembled(Dry)
    assert (caught.value.plugin, type(caught.value.error)) == ("well", RuntimeError)
    with pytest.raises(BootError, match=r"^closed on purpose$"):
        assembled(Closed)


def test_what_the_kernel_shares_is_there_once_it_has_started() -> None:
    """Before, whoever asks is told when to ask."""
    assembly = assembled(Well)
    (well,) = Well.made
    with pytest.raises(CapabilityError, match="backend_lifespan"):
        _ = well.context.database
    shared: Any = type("Resources", (), {"database": "the database"})
    assembly.share(shared)
    assert assembly.require_resources() is shared
    assert well.context.database == "the database"


def test_nothing_is_exported_where_the_settings_are_faulty() -> None:
    """A command that only looks must not try to reach a collector."""
    for environment, exporters in (
        ({}, ("otlp", "otlp")),
        ({"BACKEND_OTEL_TRACES_EXPORTER": "stdout", "BACKEND_OTEL_METRICS_EXPORTER": "none"}, ("stdout", "none")),
        ({"BACKEND_OTEL_TRACES_EXPORTER": "stdout", "BACKEND_LOG_LEVEL": "loud"}, ("none", "none")),
    ):
        telemetry = assembled(**environment).telemetry
        assert (telemetry._traces, telemetry._metrics) == exporters


def test_the_kernels_own_settings_are_a_group_among_the_others() -> None:
    """They are read by the same rules, and a plugin's group cannot hide them."""
    assembly = assembled(Well, BACKEND_SECRET_KEY=SECRET)
    assert isinstance(assembly.kernel_settings, KernelSettings)
    assert assembly.kernel_settings.secret == SECRET.encode()
    assert isinstance(assembly.found[0], InstalledPlugin)
