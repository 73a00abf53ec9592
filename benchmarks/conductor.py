"""A contender's own process: it imports the contender's package, and measures on request.

So packages do not meet each other (one brings threads, one prints, one needs an older NumPy), and a
contender that crashes takes only its own figure with it. `Conductor` is the side that asks.

    python -m benchmarks.conductor NAME DESCRIPTOR
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
HELLO_S = 60.0  # For the interpreter to start, and to import NumPy.
CLEAN_UP_S = 10.0
WATCHDOG_S = 300.0  # For one measurement. Its own steps have shorter ones.


class Conductor:
    """The process of one contender, run by `python`. It is started when it is first asked."""

    def __init__(self, name: str, python: str) -> None:
        self._name = name
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def version(self) -> str:
        """The contender's package and version as that process sees it."""
        answer = self._ask(None, HELLO_S)
        return answer if isinstance(answer, str) else str(answer)

    def measure(self, cell: Any, seconds: float) -> Any:
        """An Outcome. Raises NoFigure with the reason."""
        answer = self._ask((cell, seconds), WATCHDOG_S)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Lets the process clean up, then ends it and whatever it has started."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLEAN_UP_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _ask(self, request: Any, timeout_s: float) -> Any:
        from benchmarks.contenders.base import NoFigure

        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send(request)
            if self._connection.poll(timeout_s):
                return self._connection.recv()
            reason = f"no answer within {timeout_s:.0f} s"
        except (EOFError, OSError):
            assert self._process is not None
            reason = f"its process ended with exit code {self._process.wait(HELLO_S)}"
        self.close()
        return NoFigure(reason)

    def _start(self) -> None:
        ours, theirs = Pipe()
        self._process = subprocess.Popen(
            [self._python, "-m", "benchmarks.conductor", self._name, str(theirs.fileno())],
            cwd=REPOSITORY,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # So that it ends with all its children.
        )
        theirs.close()
        self._connection = ours


def main() -> None:
    from benchmarks.contenders import CONTENDERS
    from benchmarks.contenders.base import NoFigure
    from benchmarks.method import measure

    name, descriptor = sys.argv[1:]
    (contender,) = [contender for contender in CONTENDERS if contender.name == name]
    connection: Connection = Connection(int(descriptor))
    while True:
        try:
            request = connection.recv()
        except EOFError:
            contender.clean_up()
            return
        if request is None:
            connection.send(contender.version())
            continue
        cell, seconds = request
        try:
            connection.send(measure(contender, cell, seconds))
        except NoFigure as reason:
            connection.send(reason)


if __name__ == "__main__":
    main()
