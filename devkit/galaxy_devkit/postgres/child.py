"""The step between fork and `postgres`: bind the child's life to its parent's, drop root, execute the program.

A file of its own that imports nothing of ours, run by `python -I -S` (15 ms): code between fork and exec in a
process of many threads may deadlock, and an interpreter under /root can only be run before root is dropped.

Arguments: the parent's pid, uid and gid to become (-1 keeps them), then the program and its arguments.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGINT, Postgres's fast shutdown, when the thread that forked us ends (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above, so no signal will come
        raise SystemExit("the process that asked for this server has ended")


def become(uid: int, gid: int) -> None:
    """Drop root permanently."""
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def main(arguments: list[str]) -> None:
    """Execute the program; a failure is one line on stderr, which is the server's log."""
    parent, uid, gid = (int(argument) for argument in arguments[:3])
    program = arguments[3:]
    os.umask(0o077)
    try:
        become(uid, gid)
        end_with_parent(parent)  # after the change of user, which clears the setting
        os.execv(program[0], program)  # noqa: S606  no shell is the point
    except OSError as error:
        raise SystemExit(f"FATAL: cannot run {program[0]} as uid {os.getuid()}: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
