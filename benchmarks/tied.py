"""Processes that are to be killed: forked without ceremony, and none of them outlives its parent.

`multiprocessing` would flush, join and clean up around each of them; a victim has no such time.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Hung(Exception):
    """A process that did not do in time what it should have done."""


def die_with_parent() -> None:
    """The kernel kills this process when its parent dies, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def fork_tied(work: Callable[[], object], group: int | None = None) -> int:
    """Runs `work` in a forked child; its process id. With `group` it joins that process group, 0
    being a new one of its own."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        die_with_parent()
        if group is not None:
            os.setpgid(0, group)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def kill(pid: int) -> None:
    """SIGKILL, and the corpse is taken away."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def wait_until_asleep(pid: int, within_s: float) -> None:
    """Until the process sleeps in the kernel, and has not just napped on its way to a call."""
    deadline = time.monotonic() + within_s
    looks = 0
    while looks < 3:
        with open(f"/proc/{pid}/stat") as stat:
            state = stat.read().rpartition(")")[2].split()[0]
        looks = looks + 1 if state == "S" else 0
        if time.monotonic() > deadline:
            raise Hung(f"process {pid} did not fall asleep within {within_s:.0f} s")
        time.sleep(0.002)
