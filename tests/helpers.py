"""What the tests share: processes under a watchdog, and items that tell where they come from.

H1. No helper waits without a bound: past `WATCHDOG_S` a test fails and what it started is killed.
H2. Nothing that a test started outlives it, not even when the test run itself is killed.
H3. A marked item names its producer and its number in every element of every leaf, so that a torn,
    mixed, lost or repeated item is seen by looking at the items alone.

The bounds are generous on purpose: they tell a hang from a slow machine, and measure nothing.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import pytest

# Far above what any step takes on a loaded machine, far below the patience of a person.
WATCHDOG_S = 60.0

START_METHODS = ("fork", "spawn", "forkserver")

ROOT = Path(__file__).parent.parent

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Nursery:
    """Starts processes, waits for them under the watchdog, and leaves none behind."""

    def __init__(self) -> None:
        self._processes: list[Any] = []

    def start(
        self, method: str, function: Callable[..., Any], *args: Any, daemon: bool = True
    ) -> Any:
        """Start `function(*args)` in a process. A daemonic one cannot have children of its own."""
        context = multiprocessing.get_context(method)
        process = context.Process(target=_run_tied, args=(function, args), daemon=daemon)
        process.start()
        self._processes.append(process)
        return process

    def finish(self, process: Any, exitcode: int = 0) -> None:
        """Wait until `process` has ended by itself, with `exitcode`."""
        process.join(WATCHDOG_S)
        if process.is_alive():
            self._abort(process)
            pytest.fail(f"{process.name} still ran after {WATCHDOG_S} s: it hangs")
        assert process.exitcode == exitcode

    def kill(self, process: Any) -> None:
        """SIGKILL, and wait for the corpse."""
        os.kill(process.pid, signal.SIGKILL)
        process.join(WATCHDOG_S)
        assert process.exitcode == -signal.SIGKILL

    def call(self, method: str, function: Callable[..., Any], *args: Any) -> Any:
        """The result of `function(*args)` computed in another process."""
        return self.answer(self.ask(method, function, *args))

    def ask(self, method: str, function: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
        """Start `function(*args)` in another process; `answer` waits for its result."""
        receiver, sender = multiprocessing.get_context(method).Pipe(duplex=False)
        process = self.start(method, _send_outcome, sender, function, args, daemon=False)
        # Only the child holds the sending end now, so that its death is seen as the end of file.
        sender.close()
        return process, receiver

    def answer(self, asked: tuple[Any, Any]) -> Any:
        process, receiver = asked
        if not receiver.poll(WATCHDOG_S):
            self._abort(process)
            pytest.fail(f"no answer from {process.name} after {WATCHDOG_S} s: it hangs")
        try:
            fine, result = receiver.recv()
        except EOFError:
            process.join(WATCHDOG_S)
            pytest.fail(f"{process.name} died without an answer, exit code {process.exitcode}")
        finally:
            receiver.close()
        self.finish(process)
        if not fine:
            pytest.fail(f"in {process.name}:\n{result}")
        return result

    def close(self) -> None:
        for process in self._processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
            process.join(WATCHDOG_S)

    def _abort(self, process: Any) -> None:
        # SIGABRT lets the fault handler say where the process stood; SIGKILL makes sure of its end.
        os.kill(process.pid, signal.SIGABRT)
        process.join(5)
        if process.is_alive():
            self.kill(process)


def rust_program(name: str) -> Path:
    """A program of this checkout, as `make test-python` builds it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = ROOT / target / "debug" / name
    if not program.exists():
        pytest.fail("cargo build --profile test --workspace --bins makes this program")
    return program


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies, however that happens (H2)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run_tied(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    die_with_parent()
    function(*args)


def _send_outcome(sender: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        outcome = (True, function(*args))
    except BaseException:
        outcome = (False, traceback.format_exc())
    sender.send(outcome)


def in_forked_child(function: Callable[[], Any]) -> int:
    """Run `function` in a child made by `os.fork` alone; the pid, for `reap`."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        # Whatever goes wrong below, no child outlives the watchdog.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(WATCHDOG_S))
        die_with_parent()
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def reap(pid: int) -> None:
    """Wait for a child of `in_forked_child`; it must have ended well."""
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code != -signal.SIGALRM, "the forked child hung"
    assert code == 0, f"the forked child failed with {code}"


class Worker:
    """A thread that keeps the result of `function(*args)`, or its exception, for `join`."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._function, self._args = function, args
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def native_id(self) -> int | None:
        return self._thread.native_id

    def _run(self) -> None:
        try:
            self._result = self._function(*self._args)
        except BaseException as error:
            self._error = error

    def join(self) -> Any:
        self._thread.join(WATCHDOG_S)
        if self._thread.is_alive():
            pytest.fail(f"{self._function} still waits after {WATCHDOG_S} s: it hangs")
        if self._error is not None:
            raise self._error
        return self._result


class Passed:
    """A descriptor that was passed to this process, as the receiver of a handle is told of it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def detach(self) -> int:
        return self.number


def wait_until(condition: Callable[[], Any], what: str, within_s: float = WATCHDOG_S) -> None:
    """Poll `condition` until it is true; fail saying `what` did not happen."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"within {within_s} s it did not happen that {what}")
        time.sleep(0.002)


def wait_until_asleep(pid: int, thread: int | None = None) -> None:
    """Wait until a thread (the main one by default) sleeps in the kernel, thus has blocked."""
    path = f"/proc/{pid}/task/{thread or pid}/stat"

    def asleep() -> bool:
        # Several looks in a row: a thread on its way to a blocking call may nap elsewhere.
        for _ in range(5):
            with open(path) as stat:
                if stat.read().rpartition(")")[2].split()[0] != "S":
                    return False
            time.sleep(0.005)
        return True

    wait_until(asleep, f"thread {path} sleeps")


def marked(producer: int, sequence: int, rows: int = 16) -> dict[str, Any]:
    """An item that names its producer and its number in every element (H3)."""
    return {
        "producer": np.full(3, producer, np.int32),
        "frame": np.full((rows, 32), (producer << 32) | sequence, np.uint64),
        "nested": {"sequence": np.full(65, sequence, np.int64)},
    }


def read_mark(item: Any) -> tuple[int, int]:
    """The producer and the number of an item; it must be one item, whole."""
    producers, frame, sequences = item["producer"], item["frame"], item["nested"]["sequence"]
    producer, sequence = int(producers[0]), int(sequences[0])
    assert (producers == producer).all(), f"a torn or mixed item: {producers}"
    assert (sequences == sequence).all(), f"a torn or mixed item: {sequences}"
    assert (frame == np.uint64((producer << 32) | sequence)).all(), f"a torn or mixed item: {frame}"
    return producer, sequence


def drain(queue: Any, wait_s: float = 1.0) -> list[Any]:
    """Every item that is left, when nobody puts any more.

    The short wait lets the queue look for the dead and give back what they held.
    """
    items = []
    while True:
        try:
            items.append(queue.get(timeout=wait_s))
        except Empty:
            return items


def open_descriptors(*, settled: bool = False) -> set[str]:
    """The descriptors of this process, without the one that listing them takes.

    settled: for what is compared with later: garbage of earlier tests, which may hold queues that
        would die meanwhile, is collected first.
    """
    if settled:
        gc.collect()
    listed = os.listdir("/proc/self/fd")
    return {number for number in listed if os.path.lexists(f"/proc/self/fd/{number}")}


def shared_mappings(*, settled: bool = False) -> list[str]:
    """The lines of /proc/self/maps for shared mappings that have a file behind them.

    settled: as for `open_descriptors`.
    """
    if settled:
        gc.collect()
    with open("/proc/self/maps") as maps:
        return [line for line in maps if line.split()[1].endswith("s")]
