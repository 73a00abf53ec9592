"""Counts the system calls of a process, with `strace`.

It stops the process at each of them, so a count says how many an item takes, not how long.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.contenders.base import NoFigure

ATTACH_S = 10.0
STEP_S = 0.01


class Calls:
    """Of the process, all its threads, from the beginning of a `with` block to the end of it."""

    def __init__(self, pid: int) -> None:
        if shutil.which("strace") is None:
            raise NoFigure("strace is not there")
        self._pid = pid
        self._folder = tempfile.TemporaryDirectory()
        self._summary = Path(self._folder.name) / "summary"

    def __enter__(self) -> Self:
        command = ["strace", "-f", "-c", "-o", str(self._summary), "-p", str(self._pid)]
        self._strace = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + ATTACH_S
        while not self._is_traced():
            if self._strace.poll() is not None or time.monotonic() > deadline:
                self._strace.kill()
                self._strace.wait()
                raise NoFigure("strace could not attach")
            time.sleep(STEP_S)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait(ATTACH_S)

    def count(self) -> int:
        """Of all kinds together, but for offers of the processor to others."""
        # % time, seconds, usecs/call, calls, errors, syscall: errors may be blank.
        rows = re.findall(
            r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$",
            self._summary.read_text(),
            re.MULTILINE,
        )
        return sum(int(calls) for calls, name in rows if name not in ("sched_yield", "total"))

    def _is_traced(self) -> bool:
        with open(os.path.join("/proc", str(self._pid), "status")) as status:
            return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)
