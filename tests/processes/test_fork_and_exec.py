"""A process that forks, or becomes another program, while its threads are in the middle of calls.

E1. After a fork the child is a participant of its own, whatever the parent's threads were doing,
    and also when the parent is killed right then: what those held comes back.
E2. A process that executes another program is dead to the queue, though its pid lives on: what it
    held comes back. The new program attaches as anybody else.
"""

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S, Passed, drain, in_forked_child, reap, wait_until

from treequeues import TreeQueue
from treequeues._pickling import rebuild

CAPACITY = 6
ROUNDS = 25
LEAF = 4096


def item(number):
    return np.full(LEAF, number, np.int64)


def number_in(array):
    """The number of an item, or of each item of a batch; each must be whole."""
    rows = np.atleast_2d(array)
    assert (rows == rows[:, :1]).all(), "a torn or mixed item"
    return rows[:, 0].tolist()


@pytest.fixture
def queue():
    with TreeQueue(item(0), maxsize=CAPACITY) as queue:
        queue.put(item(0))
        queue.get()
        yield queue


def work_in_threads(queue, stop=None):
    """Threads that do all that can be done, for ever or until told to stop."""
    stop = stop or threading.Event()

    def again_and_again(call):
        while not stop.is_set():
            with contextlib.suppress(Full, Empty):
                call()

    def borrow():
        with queue.borrow(timeout=0.05) as loan:
            number_in(loan.tree)

    def reserve():
        with queue.reserve(timeout=0.05) as loan:
            loan.tree[...] = 2

    def give_back():
        with queue.borrow(timeout=0.05) as loan:
            number_in(loan.tree)
            loan.give_back()

    calls = [
        lambda: queue.put(item(1), timeout=0.05),
        lambda: number_in(queue.get(timeout=0.05)),
        borrow,
        reserve,
        give_back,
        lambda: number_in(queue.get_batch(2, timeout=0.05)),
        lambda: queue.put_batch(np.stack([item(3), item(4)]), timeout=0.05),
    ]
    threads = [threading.Thread(target=again_and_again, args=(c,), daemon=True) for c in calls]
    for thread in threads:
        thread.start()
    return threads


def drain_whole(queue):
    for array in drain(queue, 0.12):
        number_in(array)


def assert_capacity(queue):
    """Of a queue that is empty."""
    queue.put_many([item(number) for number in range(CAPACITY)], timeout=WATCHDOG_S)
    with pytest.raises(Full):
        queue.put_nowait(item(0))
    assert [number_in(array) for array in queue.get_many(CAPACITY)] == [
        [number] for number in range(CAPACITY)
    ]


def use_all_of_it(queue):
    """Put and get, in every way, what others may take or add to."""
    for _ in range(3):
        queue.put(item(5), timeout=WATCHDOG_S)
        number_in(queue.get(timeout=WATCHDOG_S))
        with queue.reserve(timeout=WATCHDOG_S) as loan:
            loan.tree[...] = 6
        with queue.borrow(timeout=WATCHDOG_S) as loan:
            number_in(loan.tree)
    queue.put_batch(np.stack([item(7), item(8)]), timeout=WATCHDOG_S)
    number_in(queue.get_batch(2, timeout=WATCHDOG_S))


def test_children_forked_in_the_middle_of_everything_use_the_queue_and_take_nothing(queue):
    def parent():
        stop = threading.Event()
        threads = work_in_threads(queue, stop)
        for number in range(ROUNDS):
            time.sleep(0.002)
            # Every third child does not even look at the queue.
            reap(in_forked_child((lambda: use_all_of_it(queue)) if number % 3 else (lambda: None)))
        stop.set()
        for thread in threads:
            thread.join(WATCHDOG_S)
            assert not thread.is_alive()
        # Whatever the children did, the parent holds nothing now, and lives.
        assert queue.stats().free + queue.qsize() == CAPACITY

    reap(in_forked_child(parent))
    drain_whole(queue)
    assert_capacity(queue)
    assert queue.stats().participants == 1


def test_a_child_goes_on_though_its_parent_is_killed_right_after_the_fork(queue, rng):
    for _ in range(ROUNDS):
        told, tell = os.pipe()
        pause = rng.random() * 0.02

        def parent(tell=tell, pause=pause):
            work_in_threads(queue)
            time.sleep(0.02 + pause)
            child = os.fork()
            if child:
                os.kill(os.getpid(), signal.SIGKILL)
            signal.alarm(int(WATCHDOG_S))
            # It may be full, and nobody else is there who would take anything.
            drain_whole(queue)
            use_all_of_it(queue)
            assert_capacity(queue)
            os.write(tell, b"well")
            os._exit(0)

        pid = in_forked_child(parent)
        os.close(tell)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        with open(told, "rb") as pipe:
            assert pipe.read() == b"well", "the child failed"
        assert_capacity(queue)


# Another program in the place of this one.


def attach_again(handle, number):
    """The queue in the new program, whose descriptor it was started with."""
    return rebuild(TreeQueue, *handle, Passed(number))


NEW_PROGRAM = """
import os, pickle, sys
from helpers import WATCHDOG_S, die_with_parent, drain
from test_fork_and_exec import TreeQueue, attach_again, number_in, signal
die_with_parent()
signal.alarm(int(WATCHDOG_S))
queue = {opening}
with open({told!r}, "w") as told:
    # Whose lock was this? The old program's items come back, first.
    came = [number_in(array)[0] for array in drain(queue, 0.2)]
    free = queue.stats().free
    mine = [each.pid for each in queue.stats().by_participant].count(os.getpid())
    print(came, free, mine, file=told)
queue.close()
"""


@pytest.mark.parametrize("how", ["name", "passed descriptor", "handle"])
@pytest.mark.parametrize("threads", [False, True], ids=["alone", "beside threads"])
def test_what_a_process_held_comes_back_when_it_becomes_another_program(
    queue_folder, tmp_path, how, threads
):
    named = {"name": "a"} if how == "name" else {}
    told = tmp_path / "told"
    with TreeQueue(item(0), maxsize=CAPACITY, **named) as queue:
        for number in range(4):
            queue.put(item(number))
        number = os.dup(queue._handle()[1])
        opening = {
            "name": "TreeQueue.attach('a')",
            "passed descriptor": f"attach_again({queue._handle()!r}, {number})",
            "handle": f"pickle.loads({pickle.dumps(queue)!r})",
        }[how]
        path = [os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__)), *sys.path]

        def become_another():
            loans = [queue.borrow(), queue.borrow_batch(2), queue.reserve()]
            if threads:
                # In the middle of calls, but of such as change nothing: they wait, all of them.
                for call in (lambda: queue.put_batch(np.stack([item(9)] * 6)), queue.get_batch):
                    args = (5,) if call == queue.get_batch else ()
                    threading.Thread(target=call, args=args, daemon=True).start()
                time.sleep(0.05)
            os.set_inheritable(number, how == "passed descriptor")
            os.environ["PYTHONPATH"] = os.pathsep.join(path)
            code = NEW_PROGRAM.format(opening=opening, told=str(told))
            os.execv(sys.executable, [sys.executable, "-c", code])
            del loans

        pid = in_forked_child(become_another)
        wait_until(lambda: queue.stats().free == 1, "everything is held, or an item")
        held = queue.stats()
        assert (held.reading, held.writing, held.qsize) == (3, 1, 1)
        reap(pid)
        os.close(number)
        # Redelivered ones first; no slot was lost.
        assert told.read_text() == f"{[0, 1, 2, 3]} {CAPACITY} 1\n"
        assert_capacity(queue)
        assert queue.stats().participants == 1


def test_a_program_that_is_started_beside_keeps_nobody_alive(queue):
    """It inherits no lock, so the death of its starter is seen while it lives on."""
    queue.put(item(3))
    ready, tell = os.pipe()
    end, go = os.pipe()

    def start_one_and_die():
        loan = queue.borrow()
        os.set_inheritable(end, True)
        argv = [sys.executable, "-c", f"import os; os.read({end}, 1)"]
        os.posix_spawn(sys.executable, argv, os.environ)
        os.write(tell, b".")
        signal.pause()
        del loan

    pid = in_forked_child(start_one_and_die)
    assert os.read(ready, 1) == b"."
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert number_in(queue.get(timeout=WATCHDOG_S)) == [3]
    os.write(go, b".")
    for descriptor in (ready, tell, end, go):
        os.close(descriptor)
    assert_capacity(queue)
