"""The step between fork and the engine: tie its life to its parent's, limit it, become the executable.

A file of its own that imports nothing of ours, run by `python -I -S` (15 ms): code between fork and exec in a process
of many threads may deadlock.

Arguments: the parent's pid, the memory limit in bytes, the executable. A failure is reported on descriptor 3, which
closes when the executable runs, so that the reader knows how it went.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
REPORT = 3


def forget_parent() -> None:
    """Leave the parent's session and descriptors, and have every signal do what it usually does."""
    os.setsid()
    os.set_inheritable(REPORT, False)
    os.closerange(REPORT + 1, os.sysconf("SC_OPEN_MAX"))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)  # under nohup, or in a script's background, some are ignored
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL when the thread that forked this process ends (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above, and no signal will come
        raise SystemExit("the process that started this engine has ended")


def limit(memory: int) -> None:
    """Set the limits that are of one process.

    RLIMIT_DATA, not RLIMIT_AS: Node reserves gigabytes of addresses and uses a few megabytes. RLIMIT_NPROC counts all
    processes of the user, so it cannot stand for the limit of one engine.
    """
    for kind, wanted in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        lowered = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (lowered, lowered))


def main(arguments: list[str]) -> None:
    """Become the executable, or report the error's number and text."""
    parent, memory = (int(argument) for argument in arguments[:2])
    executable = arguments[2]
    try:
        forget_parent()
        end_with_parent(parent)
        limit(memory)
        os.execv(executable, [executable])  # noqa: S606  no shell is the point
    except OSError as error:
        os.write(REPORT, f"{error.errno} {error.strerror}".encode())
        raise SystemExit(126) from error


if __name__ == "__main__":
    main(sys.argv[1:])
