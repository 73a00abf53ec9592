"""Counts the system calls of a process: with `perf` if it is there and may, else with `strace`.

`strace` stops the process at each call, so it makes it slow, and others sleep the more.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.contenders.base import NoFigure

START_S = 10.0  # For a tool to begin, or to end.
STEP_S = 0.01
OFFER = "sched_yield"  # Not counted: whoever makes one has nothing better to do.
_ALL, _OFFERS = "raw_syscalls:sys_enter", f"syscalls:sys_enter_{OFFER}"


def calls_a_second(pid: int, seconds: float) -> float:
    """Of all threads of the process, over so many seconds from now."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        count = _with_perf(pid, seconds, summary)
        return (_with_strace(pid, seconds, summary) if count is None else count) / seconds


def _with_perf(pid: int, seconds: float, summary: Path) -> int | None:
    if shutil.which("perf") is None:
        return None
    command = ["perf", "stat", "-x", ",", "-o", str(summary), "-e", f"{_ALL},{_OFFERS}"]
    ended = subprocess.run(
        [*command, "-p", str(pid), "--timeout", str(round(1000 * seconds))],
        capture_output=True,
        timeout=seconds + START_S,
    )
    if ended.returncode:
        return None
    # Count, unit, event, and more.
    rows = re.findall(r"^(\d+),[^,]*,([\w:]+),", summary.read_text(), re.MULTILINE)
    counts = {event: int(count) for count, event in rows}
    return counts[_ALL] - counts[_OFFERS] if {_ALL, _OFFERS} <= counts.keys() else None


def _with_strace(pid: int, seconds: float, summary: Path) -> int:
    if shutil.which("strace") is None:
        raise NoFigure("neither perf nor strace can be used")
    strace = subprocess.Popen(
        ["strace", "-f", "-c", "-o", str(summary), "-p", str(pid)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_S
        while not _is_traced(pid):
            if strace.poll() is not None or time.monotonic() > deadline:
                raise NoFigure("strace could not attach")
            time.sleep(STEP_S)
        time.sleep(seconds)
        strace.send_signal(signal.SIGINT)
        strace.wait(START_S)
    finally:
        strace.kill()
        strace.wait()
    # % time, seconds, usecs/call, calls, errors, syscall: errors may be blank.
    row = r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$"
    rows = re.findall(row, summary.read_text(), re.MULTILINE)
    return sum(int(calls) for calls, name in rows if name not in (OFFER, "total"))


def _is_traced(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as status:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)
