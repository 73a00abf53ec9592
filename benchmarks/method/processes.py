"""The processes of one measurement: started together, heard together, ended together."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from benchmarks.contenders.base import CONTEXT, NoFigure

WATCHDOG_S = 120.0  # For one step of a measurement, which takes a few seconds at most.
WARM, RUN, STOP = 0, 1, 2  # Phases.


class Phase:
    """What all processes of a measurement look at to know whether the clock runs: one shared
    byte."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def get(self) -> int:
        return self._memory[0]

    def set(self, phase: int) -> None:
        self._memory[0] = phase


class Crew:
    """Processes that are killed at the end of a `with` block, whatever they are at by then.

    They may hold locks then: nobody uses their channels again.
    """

    def __init__(self) -> None:
        self._processes: list[Any] = []
        self._reporters: dict[Connection, Any] = {}

    def start(self, work: Callable[..., None], *arguments: Any) -> int:
        """Starts a process that works until it is killed, or until its work is done."""
        process = CONTEXT.Process(target=work, args=arguments, daemon=True)
        process.start()
        self._processes.append(process)
        return self._pid(process)

    def start_reporter(self, work: Callable[..., None], *arguments: Any) -> int:
        """Starts a process whose work gets one more argument: whereto it reports."""
        ours, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_reporting, args=(work, arguments, theirs), daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        self._reporters[ours] = process
        return self._pid(process)

    @staticmethod
    def _pid(process: Any) -> int:
        pid: int = process.pid
        return pid

    def reports(self) -> list[Any]:
        """The next report of each reporter."""
        reports = []
        waiting = set(self._reporters)
        deadline = time.monotonic() + WATCHDOG_S
        sentinels = [process.sentinel for process in self._processes]
        while waiting:
            ready = wait([*waiting, *sentinels], timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                raise NoFigure(f"no result within {WATCHDOG_S:.0f} s")
            heard = waiting.intersection(ready)
            for connection in heard:
                reports.append(_receive(connection))
            waiting -= heard
            if not heard:
                self._raise_death()
        return reports

    def cpu_seconds(self) -> float:
        """Processor time that all processes together have used."""
        return sum(time.clock_gettime(_cpu_clock(process.pid)) for process in self._processes)

    def _raise_death(self) -> None:
        for process in self._processes:
            if process.exitcode is not None:
                raise NoFigure(f"a process ended with exit code {process.exitcode}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for connection in self._reporters:
            connection.close()


def _reporting(work: Callable[..., None], arguments: tuple[Any, ...], report: Connection) -> None:
    try:
        work(*arguments, report.send)
    except Exception as error:
        report.send(NoFigure(f"{type(error).__name__}: {error}"))


def _receive(connection: Connection) -> Any:
    try:
        report = connection.recv()
    except EOFError as error:
        raise NoFigure("a process ended without a result") from error
    if isinstance(report, NoFigure):
        raise report
    return report


def _cpu_clock(pid: int) -> int:
    """The number of the clock of a process's processor time: what clock_getcpuclockid returns."""
    every_thread_scheduled = 2
    return (~pid << 3) | every_thread_scheduled
