"""What holds for the tests of every distribution."""

import signal

from hypothesis import HealthCheck, settings

_PATIENT = [HealthCheck.too_slow]
settings.register_profile("galaxy", deadline=None, max_examples=50, suppress_health_check=_PATIENT)
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=_PATIENT)
settings.load_profile("galaxy")
"""No example has a time limit: the machine may be busy with something else.

`--hypothesis-profile=thorough` tries more.
"""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets what it runs in the background ignore Ctrl-C, and that is inherited: tests send it to their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
