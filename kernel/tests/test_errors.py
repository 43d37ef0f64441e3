"""The exceptions about plugins: their statuses, and what they name."""

import json

import pytest

from galaxy_chassis.errors import BootError, GalaxyError
from galaxy_kernel.errors import CapabilityError, PhaseError, PluginError


def test_a_phase_error_names_plugin_phase_and_error() -> None:
    """All of it can be read by a program too."""
    cause = ZeroDivisionError("out of coal")
    error = PhaseError("mail", "backend_lifespan", cause)
    assert (error.plugin, error.phase, error.error) == ("mail", "backend_lifespan", cause)
    assert all(part in str(error) for part in ("'mail'", "backend_lifespan", "ZeroDivisionError", "out of coal"))


def test_a_phase_error_names_the_place() -> None:
    """It is file and line, of the plugin's own package where that is known."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert f"({__file__}:" in str(PhaseError("mail", "backend_lifespan", caught.value, __name__))
    assert "/json/decoder.py:" in str(PhaseError("mail", "backend_lifespan", caught.value))


def test_statuses_tell_a_refusal_from_a_failure() -> None:
    """A set of plugins that is refused needs another set (78, EX_CONFIG); one that fails may come up the next time."""
    assert (PluginError.status, PhaseError("mail", "p", ValueError()).status) == (78, 1)


def test_what_refuses_the_boot_and_what_does_not() -> None:
    """A plugin that asks for what it may not have is at fault, but does not refuse the boot by itself."""
    assert issubclass(PluginError, BootError)
    assert issubclass(PhaseError, BootError)
    assert issubclass(CapabilityError, GalaxyError)
    assert not issubclass(CapabilityError, BootError)
