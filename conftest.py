"""What holds for the tests of every distribution."""

from hypothesis import HealthCheck, settings

settings.register_profile("galaxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("galaxy")
"""No example has a time limit: the machine may be busy with something else."""
