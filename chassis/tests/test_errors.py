"""The exceptions of every process, and the exit statuses they stand for."""

import json

import pytest

from galaxy_chassis.errors import BootError, ConfigurationError, Fault, GalaxyError, place


def test_a_configuration_error_shows_every_fault_by_its_variable() -> None:
    """One run shows all there is to mend, a line each."""
    error = ConfigurationError([Fault("BACKEND_A", "required"), Fault("BACKEND_B", "expected a number")])
    assert str(error).splitlines() == ["BACKEND_A: required", "BACKEND_B: expected a number"]
    assert [fault.variable for fault in error.faults] == ["BACKEND_A", "BACKEND_B"]


def test_statuses_tell_a_refusal_from_a_failure() -> None:
    """78 is EX_CONFIG of sysexits.h: no restart mends it."""
    assert (BootError.status, ConfigurationError([]).status) == (1, 78)
    assert issubclass(ConfigurationError, BootError)
    assert issubclass(BootError, GalaxyError)


def test_the_place_of_an_error() -> None:
    """It is the innermost line in a package, else the line that raised it, or the one that does not compile."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert place(caught.value, __name__).rpartition(":")[0] == __file__
    assert place(caught.value, "elsewhere").partition(":")[0].endswith("json/decoder.py")
    with pytest.raises(SyntaxError) as broken:
        compile("x = (", "galaxy_odd/plugin.py", "exec")
    assert place(broken.value, "galaxy_odd") == "galaxy_odd/plugin.py:1"
    assert place(ValueError("never raised")) == ""
