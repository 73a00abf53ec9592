"""Signal handlers that put and get themselves, in the queue that their own thread is busy with.

Handlers of Python run between instructions of Python: before, between and after calls, in what a
call does in Python (building a tree of the user's classes), and whenever a call that waits looks
up. Wherever that is, nobody waits for ever, and each item comes once.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child

from treequeues import TreeQueue

CAPACITY = 4
STORM_S = 0.8
BETWEEN_SIGNALS_S = 0.0004
WAIT_S = 0.003


class Ledger:
    """What was put and what came, by the program and by its handlers."""

    def __init__(self):
        self.put, self.got = [], []
        self._next = 0

    def numbers(self, count):
        self._next += count
        return range(self._next - count, self._next)

    def check(self, left):
        came = sorted([*self.got, *left])
        assert came == sorted(self.put), "an item was lost, or came twice"


def put(queue, ledger, **wait):
    (number,) = ledger.numbers(1)
    queue.put(number, **wait)
    ledger.put.append(number)


def get(queue, ledger, **wait):
    ledger.got.append(queue.get(**wait))


def reserve(queue, ledger, **wait):
    (number,) = ledger.numbers(1)
    with queue.reserve(**wait) as loan:
        loan.tree[...] = number
    ledger.put.append(number)


def borrow(queue, ledger, **wait):
    with queue.borrow(**wait) as loan:
        number = int(loan.tree)
    ledger.got.append(number)


def borrow_and_give_back(queue, ledger, **wait):
    with queue.borrow(**wait) as loan:
        loan.give_back()


def put_batch(queue, ledger, **wait):
    numbers = ledger.numbers(2)
    queue.put_batch(np.array(numbers), **wait)
    ledger.put += numbers


def get_batch(queue, ledger, **wait):
    ledger.got += queue.get_batch(2, **wait).tolist()


def get_many(queue, ledger, **wait):
    ledger.got += queue.get_many(3, **wait)


PUTS = [put, reserve, put_batch]
GETS = [get, borrow, get_batch, get_many, borrow_and_give_back]


def pester(pid):
    """Send signals to a process for as long as it lives."""
    while True:
        os.kill(pid, signal.SIGUSR1)
        time.sleep(BETWEEN_SIGNALS_S)


def weather_a_storm(operation, of_the_handler):
    """Do one thing again and again, while handlers do others; how many, and how many inside."""
    ledger = Ledger()
    handled = inside = 0
    is_inside = False
    with TreeQueue(0, maxsize=CAPACITY) as queue:

        def handler(number, frame):
            nonlocal handled, inside
            handled += 1
            inside += is_inside
            call = of_the_handler[handled % len(of_the_handler)]
            # Every fourth waits, too, if not for long.
            wait = {"timeout": WAIT_S} if handled % 4 == 0 else {"block": False}
            with contextlib.suppress(Full, Empty):
                call(queue, ledger, **wait)

        signal.signal(signal.SIGUSR1, handler)
        pid = os.getpid()
        pesterer = in_forked_child(lambda: pester(pid))
        end = time.monotonic() + STORM_S
        while time.monotonic() < end:
            is_inside = True
            with contextlib.suppress(Full, Empty):
                operation(queue, ledger, timeout=WAIT_S)
            is_inside = False
        os.kill(pesterer, signal.SIGKILL)
        os.waitpid(pesterer, 0)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        left = queue.get_many(CAPACITY, block=False) if queue.qsize() else []
        ledger.check(left)
        # All capacity is there, and a lap of it goes through.
        assert queue.stats().free == CAPACITY
        queue.put_many(range(CAPACITY), block=False)
        assert queue.get_many(CAPACITY, block=False) == list(range(CAPACITY))
    return handled, inside, len(ledger.put)


@pytest.mark.parametrize("operation", PUTS + GETS, ids=lambda operation: operation.__name__)
def test_handlers_that_put_and_get_disturb_no_call(nursery, figure, operation):
    # What the program puts its handlers take, and the other way round; and some do as it does.
    handlers = [*GETS, put] if operation in PUTS else [*PUTS, get]
    handled, inside, count = nursery.call("fork", weather_a_storm, operation, handlers)
    figure(f"{handled} signals, {inside} in the call, {count} items")
    assert handled > 20
    assert inside > 5
    assert count > 20


def wait_for_the_handler(blocked, of_the_handler, prepare):
    """A call without a timeout, that only its own thread's handler lets go on."""
    ledger = Ledger()
    with TreeQueue(0, maxsize=CAPACITY) as queue:
        for _ in range(prepare):
            put(queue, ledger, block=False)
        signal.signal(signal.SIGUSR1, lambda *_: of_the_handler(queue, ledger, block=False))
        pid = os.getpid()
        pesterer = in_forked_child(lambda: (time.sleep(0.1), pester_a_few_times(pid)))
        blocked(queue, ledger)
        os.waitpid(pesterer, 0)
        ledger.check(queue.get_many(CAPACITY, block=False) if queue.qsize() else [])


def pester_a_few_times(pid):
    for _ in range(3):
        os.kill(pid, signal.SIGUSR1)
        time.sleep(0.15)


@pytest.mark.parametrize(
    ("blocked", "of_the_handler", "prepare"),
    [
        (put, get, CAPACITY),
        (reserve, borrow, CAPACITY),
        (put_batch, get, CAPACITY),
        (get, reserve, 0),
        (borrow, put, 0),
        (get_batch, put, 0),
        (get_many, put, 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_call_without_end_goes_on_by_its_own_handler(nursery, blocked, of_the_handler, prepare):
    nursery.call("fork", wait_for_the_handler, blocked, of_the_handler, prepare)


@dataclass
class Pestered:
    """A tree that gets a signal whenever it is built, by a program or by the queue."""

    number: int

    def __new__(cls, *_):
        signal.raise_signal(signal.SIGUSR1)
        # Newer interpreters look for signals where a loop goes round, and not after each call.
        for _ in range(3):
            pass
        return super().__new__(cls)


def be_interrupted_while_building(maxsize):
    came, refused = [], 0
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with TreeQueue(Pestered(0), maxsize=maxsize) as queue:

        def handler(number, frame):
            nonlocal refused
            # Once: what it builds itself must not call it again.
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            try:
                came.append(queue.get_nowait().number)
            except Empty:
                refused += 1
            try:
                # The slot of the call that was interrupted is held until that ends.
                queue.put(Pestered(100), timeout=WAIT_S)
            except Full:
                refused += 1

        for number in range(50):
            queue.put(Pestered(number), timeout=WATCHDOG_S)
            signal.signal(signal.SIGUSR1, handler)
            came.append(queue.get(timeout=WATCHDOG_S).number)
            assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN, "no handler ran"
            while queue.qsize():
                came.append(queue.get(timeout=WATCHDOG_S).number)
        assert queue.stats().free == maxsize
    return came, refused


@pytest.mark.parametrize("maxsize", [1, 3])
def test_a_handler_in_the_middle_of_a_get_that_builds_its_tree(nursery, maxsize):
    came, refused = nursery.call("fork", be_interrupted_while_building, maxsize)
    assert [number for number in came if number != 100] == list(range(50))
    # With one slot the handler finds neither an item nor room, and is told so.
    assert came.count(100) == (0 if maxsize == 1 else 50)
    assert refused == (100 if maxsize == 1 else 50)
