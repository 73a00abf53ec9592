"""Many on one side and one on the other: few of the many spin, and the rest sleep until one of
those passes a wake-up on. Nothing is lost by that, nobody sleeps on beside an item, and a spinner
that is killed is not waited for.
"""

import contextlib
import mmap
import os
import random
import signal
import struct
import time
from queue import Empty

import pytest
from helpers import wait_until, wait_until_asleep

from treequeues import ShutDown, TreeQueue

ITEMS = 4000
KILLS = 60
# Far more than a spinner is trusted for,
TRUSTED_S = 0.002
# and the longest sleep of a waiter that nobody wakes. One that is woken is back far sooner.
LONGEST_SLEEP_S = 0.5


def put_some(queue, first, count):
    for number in range(first, first + count):
        queue.put(number)


def get_all(queue):
    got = []
    while True:
        try:
            got.append(int(queue.get()))
        except ShutDown:
            return got


@pytest.mark.parametrize(("producers", "consumers"), [(8, 1), (1, 8), (4, 4)])
def test_nothing_is_lost_between_many_and_one(nursery, producers, consumers):
    each = ITEMS // producers
    with TreeQueue(0, maxsize=8) as queue:
        getters = [nursery.ask("fork", get_all, queue) for _ in range(consumers)]
        putters = [
            nursery.start("fork", put_some, queue, each * number, each)
            for number in range(producers)
        ]
        for putter in putters:
            nursery.finish(putter)
        queue.shutdown()
        got = [nursery.answer(getter) for getter in getters]
    assert sorted(number for of_one in got for number in of_one) == list(range(ITEMS))
    if producers == 1:
        assert all(of_one == sorted(of_one) for of_one in got), "one producer's items in order"


def spin(queue):
    """Wait again and again, for what one item is not enough for."""
    while True:
        with contextlib.suppress(Empty):
            queue.get_batch(2, timeout=1e-6)


def get_and_say_when(queue, memory):
    """Get items, and write after each how many there were, and when that was."""
    for number in range(1, KILLS + 1):
        queue.get()
        memory[:] = struct.pack("<dq", time.monotonic(), number)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_spinner_that_is_killed_or_stopped_keeps_nobody_asleep(nursery, figure, how):
    memory = memoryview(mmap.mmap(-1, mmap.PAGESIZE))[: struct.calcsize("<dq")]
    randomly = random.Random(how)
    waited = {0: [], TRUSTED_S: []}
    with TreeQueue(0, maxsize=4) as queue:
        sleeper = nursery.start("fork", get_and_say_when, queue, memory)
        for number, pause_s in enumerate([0, TRUSTED_S] * (KILLS // 2), start=1):
            spinner = nursery.start("fork", spin, queue)
            wait_until_asleep(sleeper.pid)
            time.sleep(0.001 * randomly.random())
            os.kill(spinner.pid, how)
            time.sleep(pause_s)
            began = time.monotonic()
            queue.put(number)
            wait_until(lambda n=number: struct.unpack("<dq", memory)[1] >= n, "the sleeper got it")
            waited[pause_s].append(struct.unpack("<dq", memory)[0] - began)
            nursery.kill(spinner)
        nursery.finish(sleeper)
    at_once, later = waited.values()
    figure(f"the slowest put at once {max(at_once):.3f} s, {TRUSTED_S} s later {max(later):.3f} s")
    assert max(at_once) < 4 * LONGEST_SLEEP_S
    # If marks stood, half of the items would come by the end of a sleep.
    slow = [seconds for seconds in later if seconds > LONGEST_SLEEP_S / 5]
    assert len(slow) <= len(later) // 10
