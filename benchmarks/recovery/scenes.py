"""The scenes: who holds what, and who waits for it.

A scene is a queue with a victim that takes hold of something and dies, and peers in blocked calls
that can go on only with what the victim held. One scene is used for kill after kill: its peers
last, and each victim is a new process.
"""

from __future__ import annotations

import os
import random
import select
import signal
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.tied import Hung, fork_tied, kill, wait_until_asleep

BARE_WAIT_S = 0.1  # As long as the longest sleep of a blocked call.
SETTLED = 2  # Bare waits before each kill, while the peers sleep.
WATCHDOG_S = 20.0  # For one kill, whose recovery takes a tenth of a second.
_MOMENT = struct.Struct("<q")  # Nanoseconds of the monotonic clock.

Call = Callable[[Any], object]


@dataclass(frozen=True)
class Scene:
    name: str
    maxsize: int
    filled: bool  # Whether the queue is full of items when the victim comes.
    victim: Call  # Takes hold of something, and returns what keeps it.
    peers: tuple[Call, ...]  # Blocked calls.


@dataclass(frozen=True)
class Kill:
    """What one kill told: how long the kernel took to end the victim, how long the last peer took,
    and the bare waits before it."""

    died_ms: float
    recovered_ms: float
    bare_ms: tuple[float, ...]


def _get(queue: Any) -> object:
    return queue.get(timeout=WATCHDOG_S)


def _put(queue: Any) -> object:
    return queue.put(ITEM, timeout=WATCHDOG_S)


def _get_batch(queue: Any) -> object:
    return queue.get_batch(4, timeout=WATCHDOG_S)


def _put_batch(queue: Any) -> object:
    return queue.put_batch(np.stack([ITEM] * 4), timeout=WATCHDOG_S)


def _borrow(queue: Any) -> object:
    loan = queue.borrow(timeout=WATCHDOG_S)
    loan.__enter__()
    return loan


def _borrow_all(queue: Any) -> object:
    loan = queue.borrow_batch(4, timeout=WATCHDOG_S)
    loan.__enter__()
    return loan


def _keep_a_view(queue: Any) -> object:
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        return loan.tree


def _reserve(queue: Any) -> object:
    loan = queue.reserve(timeout=WATCHDOG_S)
    loan.__enter__()
    return loan


def _reserve_all(queue: Any) -> object:
    return [_reserve(queue) for _ in range(4)]


ITEM = np.ones(8)

SCENES = (
    Scene("get, the item's borrower killed", 1, True, _borrow, (_get,)),
    Scene("put, the slot's reserver killed", 1, False, _reserve, (_put,)),
    Scene("put, the keeper of a view killed", 1, True, _keep_a_view, (_put,)),
    Scene("get and put, the item's borrower killed", 1, True, _borrow, (_get, _put)),
    Scene("4 gets, their items' borrower killed", 4, True, _borrow_all, (_get,) * 4),
    Scene("4 puts, their slots' reserver killed", 4, False, _reserve_all, (_put,) * 4),
    Scene("get_batch(4), the borrower of 1 item killed", 4, True, _borrow, (_get_batch,)),
    Scene("put_batch of 4, the reserver of 1 slot killed", 4, False, _reserve, (_put_batch,)),
)


class Stage:
    """A scene with its queue and its peers, in a process of its own."""

    def __init__(self, scene: Scene, seed: int) -> None:
        from treequeues import TreeQueue

        self.scene = scene
        self.queue = TreeQueue(ITEM, scene.maxsize)
        self.rng = random.Random(seed)
        self.peers = [_Peer(self.queue, call) for call in scene.peers]
        self._never = threading.Lock()
        self._never.acquire()

    def kill_once(self) -> Kill:
        self._fill()
        victim = self._start_victim()
        for peer in self.peers:
            # Sleepers that fell asleep together would sweep together.
            time.sleep(self.rng.random() * BARE_WAIT_S if len(self.peers) > 1 else 0)
            peer.go()
        for peer in self.peers:
            wait_until_asleep(peer.pid, WATCHDOG_S)
        bare_ms = tuple(self._wait_bare() for _ in range(SETTLED))
        time.sleep(self.rng.random() * BARE_WAIT_S)
        killed = time.monotonic_ns()
        os.kill(victim, signal.SIGKILL)
        died = _death_of(victim)
        back = max(peer.came_back() for peer in self.peers)
        os.waitpid(victim, 0)
        return Kill((died - killed) / 1e6, (back - killed) / 1e6, bare_ms)

    def _fill(self) -> None:
        """Makes the queue as the scene has it, whatever the last kill left."""
        while self.queue.qsize():
            self.queue.get(timeout=WATCHDOG_S)
        if self.scene.filled:
            for _ in range(self.scene.maxsize):
                self.queue.put(ITEM, timeout=WATCHDOG_S)

    def _start_victim(self) -> int:
        hears, tells = os.pipe()

        def hold() -> None:
            held = self.scene.victim(self.queue)
            os.write(tells, b"!")
            while held is not None:
                signal.pause()

        victim = fork_tied(hold)
        os.close(tells)
        try:
            _read(hears, 1, "the victim")
        except Hung:
            kill(victim)
            raise
        finally:
            os.close(hears)
        return victim

    def _wait_bare(self) -> float:
        """A wait for a lock that nobody lets go: in glibc a futex, as that of a blocked call."""
        began = time.monotonic_ns()
        self._never.acquire(timeout=BARE_WAIT_S)
        return (time.monotonic_ns() - began) / 1e6


class _Peer:
    """A process that makes its call whenever it is told to, and says when it came back."""

    def __init__(self, queue: Any, call: Call) -> None:
        told, self._tell = os.pipe()
        self._hear, says = os.pipe()

        def work() -> None:
            while os.read(told, 1):
                call(queue)
                os.write(says, _MOMENT.pack(time.monotonic_ns()))

        self.pid = fork_tied(work)

    def go(self) -> None:
        os.write(self._tell, b"!")

    def came_back(self) -> int:
        moment: int = _MOMENT.unpack(_read(self._hear, _MOMENT.size, "a blocked peer"))[0]
        return moment


def _death_of(pid: int) -> int:
    """Waits until the process has ended, without taking the corpse away; the moment."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], WATCHDOG_S)[0]:
            raise Hung(f"the victim did not end within {WATCHDOG_S:.0f} s")
        return time.monotonic_ns()
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int, who: str) -> bytes:
    if not select.select([descriptor], [], [], WATCHDOG_S)[0]:
        raise Hung(f"{who} did not go on within {WATCHDOG_S:.0f} s")
    data = os.read(descriptor, size)
    if len(data) != size:
        raise Hung(f"{who} died")
    return data
