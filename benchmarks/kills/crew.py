"""The processes of a round: workers that put and get, and short calls under a watchdog."""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, Full
from typing import Any

from benchmarks.contenders.base import CONTEXT
from benchmarks.kills import receipts
from benchmarks.kills.peers import Peer, Torn
from benchmarks.tied import Hung, die_with_parent

PATIENCE_S = 10.0  # What has not happened by then is called a hang.
CALL_S = 0.5  # Of one call, after which a worker looks whether it is to stop.
DRAIN_S = 1.0  # So long a consumer finds nothing before it ends.
MOST_ERRORS = 200  # Of one worker, which ends then.
LASTING = 0

_PUTTING, _GETTING, _STAYING = 0, 1, 2  # Places of the flags.


class Crew:
    """Everybody who ever worked in a round, with the flags and receipts that they share."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer = peer
        self.folder = folder
        # Bare bytes: no lock that a victim could take into its grave.
        self._stop = mmap.mmap(-1, mmap.PAGESIZE)
        self._everybody: list[Any] = []

    def start_producer(self, number: int) -> Any:
        return self.start(self._produce, number)

    def start_consumer(self, number: int) -> Any:
        return self.start(self._consume, number)

    def start(self, work: Callable[..., None], *arguments: Any) -> Any:
        process = CONTEXT.Process(target=_tied, args=(work, arguments), daemon=True)
        process.start()
        self._everybody.append(process)
        return process

    def put_by(self, number: int) -> int:
        return receipts.count(self.folder / f"put.{number}")

    def got_by(self, number: int) -> int:
        return receipts.count(self.folder / f"got.{number}")

    def stop_producers(self) -> None:
        self._stop[_PUTTING] = 1

    def stop_consumers(self) -> None:
        """They end when nothing has come for a while."""
        self._stop[_GETTING] = 1

    def let_producers_go(self) -> None:
        """Until now they have stayed: a queue may want them for as long as their items live."""
        self._stop[_STAYING] = 1

    def kill_everybody(self) -> None:
        living = [process for process in self._everybody if process.exitcode is None]
        for process in living:
            pause(process)  # First, so that nobody complains of another's end.
        for process in living:
            kill(process)

    def errors(self) -> list[str]:
        """What calls of the living raised, beside Full and Empty."""
        files = self.folder.glob("error.*")
        return [line for file in files for line in file.read_text().splitlines()]

    def call(self, function: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
        """What `function` returns in a process of its own. Raises Hung."""
        ours, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_answer, args=(function, theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            if not ours.poll(within_s):
                raise Hung("it hangs")
            fine, result = ours.recv()
        except EOFError as error:
            process.join(CALL_S)
            raise Hung(f"it died, exit code {process.exitcode}") from error
        finally:
            process.kill()
            process.join()
            ours.close()
        if not fine:
            raise RuntimeError(result)
        return result

    def fits(self) -> int:
        """How many items can be put without waiting."""
        peer = self.peer

        def fill() -> int:
            for number in itertools.count():
                try:
                    peer.put(peer.item(LASTING, number), CALL_S)
                except Full:
                    return number
            raise AssertionError("for ever is over")

        result: int = self.call(fill, 2 * PATIENCE_S)
        return result

    def _produce(self, number: int) -> None:
        peer, log = self.peer, receipts.Log(self.folder / f"put.{number}")
        errors = _Errors(self.folder / f"error.put.{number}")
        for sequence in itertools.count():
            item = peer.item(number, sequence)
            while True:
                if self._stop[_PUTTING]:
                    wait_for(lambda: self._stop[_STAYING], 2 * PATIENCE_S)
                    return
                try:
                    peer.put(item, CALL_S)
                    break
                except Full:
                    continue
                except Exception as error:
                    errors.note(error)
            log.write((number, sequence))

    def _consume(self, number: int) -> None:
        peer, log = self.peer, receipts.Log(self.folder / f"got.{number}")
        errors = _Errors(self.folder / f"error.get.{number}")
        heard = time.monotonic()
        while True:
            try:
                mark = peer.read(peer.get(CALL_S))
            except Empty:
                # Asked again before it ends: some say so before their time is over.
                if self._stop[_GETTING] and time.monotonic() - heard > DRAIN_S:
                    return
                continue
            except Torn:
                mark = receipts.TORN
            except Exception as error:
                errors.note(error)
                heard = time.monotonic()
                continue
            heard = time.monotonic()
            log.write(mark)


class _Errors:
    """A worker's unexpected errors, one a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    def note(self, error: Exception) -> None:
        with self._path.open("a") as file:
            file.write(f"{type(error).__name__}\n")
        self._count += 1
        if self._count >= MOST_ERRORS:
            os._exit(1)
        time.sleep(0.01)


def finish(process: Any, within_s: float = 2 * PATIENCE_S) -> bool:
    """Whether a worker that was told to has ended."""
    process.join(within_s)
    return process.exitcode is not None


def kill(process: Any) -> None:
    process.kill()
    process.join()


def pause(process: Any) -> None:
    os.kill(process.pid, signal.SIGSTOP)


def resume(process: Any) -> None:
    os.kill(process.pid, signal.SIGCONT)


def wait_for(condition: Callable[[], object], within_s: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _tied(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    die_with_parent()
    work(*arguments)


def _answer(function: Callable[[], Any], answer: Connection) -> None:
    die_with_parent()
    try:
        answer.send((True, function()))
    except Exception as error:
        answer.send((False, f"{type(error).__name__}: {error}"))
