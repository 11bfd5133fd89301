"""Becomes another program that keeps to some cores and ends with the process that started it.

Run as a script: `python launch.py PARENT CORES PROGRAM [ARGUMENT…]`, with CORES like `0,1`, or `-` for all.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set up what an `exec` keeps, then `exec`."""
    parent, cores, *program = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if cores != "-":
            os.sched_setaffinity(0, set(map(int, cores.split(","))))
    if os.getppid() != int(parent):  # it ended before it could be followed
        sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 - the program is named by our own code


main()
