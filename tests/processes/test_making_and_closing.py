"""Large queues that are made and closed while other threads open, close and fork.

Whoever makes a queue reserves its memory, which takes time; whoever closes one unmaps it. Neither
is in the way of others, and a child that is forked meanwhile has nothing of it.
"""

import os
import sys
import threading
import time

import numpy as np
import pytest
from helpers import (
    WATCHDOG_S,
    Worker,
    in_forked_child,
    open_descriptors,
    reap,
    shared_mappings,
    wait_until,
)

from treequeues import TreeQueue

# Takes the system some tenths of a second to reserve.
LARGE_NBYTES = 768 << 20

# An exit code of the children below.
SOMETHING = 7
# Of what a busy machine may spoil.
ROUNDS = 3

# More than are finished by chance before the large queue is begun and after it is done.
SEVERAL = 3


def make_large():
    return TreeQueue(np.broadcast_to(np.uint8(0), (LARGE_NBYTES // 2,)), maxsize=2)


def is_being_made():
    """Whether this process has a memory file as large as that of a large queue."""
    for number in open_descriptors():
        try:
            if os.stat(f"/proc/self/fd/{number}").st_size >= LARGE_NBYTES:
                return True
        except OSError:
            continue
    return False


def has_of_a_large_one():
    """Whether this process has a descriptor or a mapping of such a file."""

    def nbytes_of(mapping):
        begin, _, end = mapping.split()[0].partition("-")
        return int(end, 16) - int(begin, 16)

    return is_being_made() or any(nbytes_of(it) >= LARGE_NBYTES for it in shared_mappings())


def what_is_there():
    """Descriptors and mappings of this process that lead to segments."""
    found = [line for line in shared_mappings() if "treequeues" in line]
    for number in open_descriptors():
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if "treequeues" in path:
            found.append(path)
    return found


@pytest.mark.parametrize("what", ["open and close", "fork"])
def test_others_go_on_while_a_large_queue_is_made(what):
    done, begun, ended = 0, threading.Event(), threading.Event()

    def make():
        queue = make_large()
        ended.set()
        queue.close()

    maker = Worker(make)
    while not ended.is_set():
        if not begun.is_set() and is_being_made():
            begun.set()
        if what == "fork":
            reap(in_forked_child(lambda: None))
        else:
            TreeQueue(0, maxsize=1).close()
        done += begun.is_set() and not ended.is_set()
    maker.join()
    assert done > SEVERAL


def test_other_threads_run_while_a_large_queue_is_closed():
    ticks, stop = 0, False

    def tick():
        nonlocal ticks
        while not stop:
            ticks += 1
            # Gives the interpreter's lock up, which nobody asks for below.
            time.sleep(0.001)

    def ticks_of(end):
        before = ticks
        end()
        return ticks - before

    def let_view_go():
        nonlocal view
        view = None

    interval = sys.getswitchinterval()
    ticker = Worker(tick)
    try:
        for way in ("close", "drop", "view"):
            queue = make_large()
            with queue.reserve_batch(2) as loan:
                loan.tree[...] = 1
            view = None
            if way == "view":
                loan = queue.borrow()
                view = loan.tree
                loan.release()
                queue.close()
            # Who has the interpreter's lock keeps it until it gives it up.
            sys.setswitchinterval(WATCHDOG_S)
            if way == "close":
                done = ticks_of(queue.close)
            elif way == "view":
                done = ticks_of(let_view_go)
            else:
                holder = [queue]
                del queue, loan
                done = ticks_of(holder.clear)
            sys.setswitchinterval(interval)
            assert done > 0, way
    finally:
        stop = True
        sys.setswitchinterval(interval)
        ticker.join()


def test_children_that_are_forked_meanwhile_have_nothing_of_it():
    before = what_is_there()

    def look():
        # Of other queues, which tests before this one may have left, a child has what it has.
        os._exit(SOMETHING if has_of_a_large_one() else 0)

    # At the edges of a phase the queue is open, and children are to have it: on a busy machine the
    # edges may be most of a phase, but not each time.
    most_had_nothing = {"making": False, "closing": False}
    for _ in range(ROUNDS):
        for phase, codes in codes_while_making_and_closing(look).items():
            most_had_nothing[phase] |= codes.count(0) > codes.count(SOMETHING)
            assert len(codes) == codes.count(0) + codes.count(SOMETHING), (phase, codes)
        assert what_is_there() == before
        if all(most_had_nothing.values()):
            return
    raise AssertionError(most_had_nothing)


def codes_while_making_and_closing(look):
    """How the children ended that were forked while a large queue was made, and while closed."""
    phases = {
        "making": [threading.Event(), threading.Event()],
        "closing": [threading.Event(), threading.Event()],
    }

    def make_and_close():
        queue = make_large()
        phases["making"][1].set()
        with queue.reserve_batch(2) as loan:
            loan.tree[...] = 1
        del loan
        phases["closing"][0].set()
        queue.close()
        phases["closing"][1].set()

    maker = Worker(make_and_close)
    wait_until(is_being_made, "a large queue is begun")
    phases["making"][0].set()
    codes = {}
    for phase, (begun, ended) in phases.items():
        begun.wait(WATCHDOG_S)
        codes[phase] = []
        while not ended.is_set():
            _, status = os.waitpid(in_forked_child(look), 0)
            codes[phase].append(os.waitstatus_to_exitcode(status))
    maker.join()
    return codes


def test_threads_that_attach_to_one_queue_at_once_are_one_participant(queue_folder):
    with TreeQueue(0, maxsize=2, name="one"):

        def attach_all():
            before = what_is_there()
            barrier = threading.Barrier(8)

            def attach():
                barrier.wait(WATCHDOG_S)
                return TreeQueue.attach("one")

            attached = [worker.join() for worker in [Worker(attach) for _ in range(8)]]
            assert attached[0].stats().participants == 2
            for queue in attached:
                queue.close()
            assert what_is_there() == before

        reap(in_forked_child(attach_all))
