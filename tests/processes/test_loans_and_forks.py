"""Forks in the middle of loans: in the block, and while views live.

F1. A loan is its parent's alone. Whatever the child does with its copy of it, ends it, drops it,
    dies with it, the slot is committed, aborted, released or given back once, by the parent.
F2. A child may read anything through the views that it inherits, and crashes by none. What it
    writes through them reaches nobody.
F3. The queue itself works in the child, as that of a participant of its own.
"""

import contextlib
import gc
import os
import signal
import struct
import sys
import threading
import time
import traceback
import warnings
from queue import Empty, Full

import numpy as np
import pytest
from escapes import every_escape, numbers_in
from escapes import make_item as make_escaping_item
from helpers import WATCHDOG_S, Worker, die_with_parent, drain, in_forked_child, reap
from loan_cases import assert_capacity, fill, get_numbers, make_item, number_in, take_one

from treequeues import TreeQueue

MAXSIZE = 4


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue
    gc.enable()


class Fork:
    """A fork whose child goes on in the same frames, and ends where the `with` block does.

    A test that runs on in both processes looks like this:

        with Fork() as fork, queue.reserve() as loan:
            if fork.is_child():
                ...
            # Both leave the loan's block here, and the child ends.
    """

    def __init__(self):
        self._pid = None

    def __enter__(self):
        return self

    def is_child(self):
        self._pid = os.fork()
        if self._pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(WATCHDOG_S))
            die_with_parent()
        return self._pid == 0

    def __exit__(self, kind, error, tb):
        if self._pid == 0:
            if error is not None:
                traceback.print_exception(error)
            sys.stderr.flush()
            os._exit(error is not None)
        if self._pid is not None and error is None:
            reap(self._pid)


def use(queue, number):
    """Put and get in a child, whatever else is in the queue: what came is looked at whole."""
    queue.put(make_item(number), timeout=WATCHDOG_S)
    return number_in(queue.get(timeout=WATCHDOG_S))


# Both leave the block.


def test_a_reserve_whose_block_both_leave_is_committed_once(queue):
    with Fork() as fork, queue.reserve() as loan:
        fill(loan.tree, 7)
        fork.is_child()
    assert get_numbers(queue) == [7]
    assert_capacity(queue)


def test_a_borrow_whose_block_both_leave_is_released_once(queue):
    queue.put(make_item(7))
    with Fork() as fork, queue.borrow() as loan:
        if not fork.is_child():
            assert number_in(loan.tree) == 7
    assert get_numbers(queue) == []
    assert_capacity(queue)


@pytest.mark.parametrize("take", ["reserve", "borrow"])
@pytest.mark.parametrize("child_fails", [False, True])
def test_the_parents_end_of_the_block_counts_and_the_childs_does_not(queue, take, child_fails):
    """One of them leaves by an exception, the other cleanly."""
    with Fork() as fork, contextlib.suppress(ZeroDivisionError), take_one(queue, take):
        if fork.is_child() == child_fails:
            raise ZeroDivisionError
    committed = take == "reserve" and child_fails
    given_back = take == "borrow" and not child_fails
    assert get_numbers(queue) == [7] * (committed or given_back)
    assert_capacity(queue)


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_the_childs_end_of_the_block_frees_nothing_of_its_parents(queue, take):
    """The child is long gone when the parent leaves its block."""
    with take_one(queue, take) as loan:
        with Fork() as fork:
            if fork.is_child():
                with contextlib.suppress(ValueError):
                    loan.__exit__(None, None, None)
                del loan
                gc.collect()
        stats = queue.stats()
        assert (stats.writing, stats.reading) == ((1, 0) if take == "reserve" else (0, 1))
        for number in range(20):
            assert use(queue, number) == number
        assert number_in(loan.tree) == 7
    assert get_numbers(queue) == [7] * (take == "reserve")
    assert_capacity(queue)


ENDS = ["commit", "abort", "release", "give_back"]


@pytest.mark.parametrize("end", ENDS)
def test_an_explicit_end_in_the_child_does_nothing_to_the_parents_loan(queue, end):
    loan = take_one(queue, "reserve" if end in ("commit", "abort") else "borrow")

    def end_it():
        # Whether that is an error, or nothing, is not told; that it reaches the parent would be.
        with contextlib.suppress(ValueError):
            getattr(loan, end)()
        assert use(queue, 3) == 3

    reap(in_forked_child(end_it))
    assert queue.qsize() == 0 and queue.stats().free == MAXSIZE - 1
    assert number_in(loan.tree) == 7
    getattr(loan, end)()
    assert get_numbers(queue) == [7] * (end in ("commit", "give_back"))
    assert_capacity(queue)


@pytest.mark.parametrize("take", ["reserve_batch", "borrow_batch"])
def test_a_batch_loan_is_its_parents_alone_too(queue, take):
    if take == "borrow_batch":
        for number in range(3):
            queue.put(make_item(number))
    with Fork() as fork, getattr(queue, take)(3) as loan:
        if not fork.is_child() and take == "reserve_batch":
            loan.tree["step"][...] = range(3)
            loan.tree["reward"][...] = range(3)
            loan.tree["done"][...] = [0, 1, 0]
            for row in range(3):
                for side in ("left", "right"):
                    loan.tree["obs"][side][row] = row
    assert get_numbers(queue) == ([0, 1, 2] if take == "reserve_batch" else [])
    assert_capacity(queue)


# The child's views.


@every_escape
def test_what_a_child_writes_through_inherited_views_reaches_nobody(escape):
    with TreeQueue(make_escaping_item(0), maxsize=2) as queue:
        with queue.reserve() as loan:
            loan.write(make_escaping_item(7))
            trees = [loan.tree]

            def scribble():
                # Used in the child alone, so that nothing of it is left here.
                kept = escape.keep(trees[0])
                escape.scribble(kept, 99)
                queue.put(make_escaping_item(5), timeout=WATCHDOG_S)
                escape.scribble(kept, 98)
                escape.drop(kept)

            reap(in_forked_child(scribble))
            assert numbers_in(trees[0]) == {7}
            trees.clear()
        # Reserved before the child's.
        items = [queue.get(timeout=WATCHDOG_S) for _ in range(2)]
        assert [numbers_in(item) for item in items] == [{7}, {5}]


@every_escape
def test_views_kept_before_the_fork_are_harmless_in_the_child(escape):
    with TreeQueue(make_escaping_item(0), maxsize=2) as queue:
        queue.put(make_escaping_item(7))
        with queue.borrow() as loan:
            try:
                kept = escape.keep(loan.tree)
            except BufferError as refusal:
                pytest.skip(str(refusal))
        if escape.name == "a thread":
            escape.drop(kept)
            pytest.skip("a thread does not live on in a forked child")

        def look():
            nonlocal kept
            escape.numbers(kept)
            for number in range(10):
                queue.put(make_escaping_item(number), timeout=WATCHDOG_S)
                escape.numbers(kept)
                queue.get(timeout=WATCHDOG_S)
            if escape.is_address:
                escape.scribble(kept, 99)
            escape.drop(kept)
            del kept
            gc.collect()

        reap(in_forked_child(look))
        # The child's views have died, and the parent's live.
        assert escape.numbers(kept) == {7}
        assert queue.stats().free == 1
        escape.drop(kept)
        del look
        kept = None
        gc.collect()
        assert queue.stats().free == 2


def test_a_child_that_waits_is_not_told_of_views_that_are_its_parents(queue):
    for number in range(MAXSIZE):
        queue.put(make_item(number))
    with queue.borrow() as loan:
        view = loan.tree["obs"]["left"]

    def wait():
        # Its inherited view keeps no slot, and its death would free none.
        warnings.simplefilter("error")
        with pytest.raises(Full):
            queue.put(make_item(9), timeout=0.5)

    reap(in_forked_child(wait))
    del view
    assert get_numbers(queue) == [1, 2, 3]


def test_a_child_that_goes_on_writing_changes_nothing_that_comes_later(queue):
    here, there = os.pipe()
    views = []
    with queue.reserve() as loan:
        fill(loan.tree, 7)
        views.append(loan.tree)

        def scribble():
            os.close(there)
            while True:
                fill(views[0], np.random.randint(100))
                with contextlib.suppress(BlockingIOError):
                    assert os.read(here, 1) == b""
                    return

        os.set_blocking(here, False)
        child = in_forked_child(scribble)
        views.clear()
        del scribble
    assert number_in(queue.get(timeout=WATCHDOG_S)) == 7
    for number in range(2000):
        queue.put(make_item(number % 200), timeout=WATCHDOG_S)
        with queue.borrow(timeout=WATCHDOG_S) as loan:
            assert number_in(loan.tree) == number % 200
    os.close(there)
    reap(child)
    os.close(here)
    assert_capacity(queue)


def test_the_tree_of_an_inherited_loan_is_harmless_in_the_child(queue):
    queue.put(make_item(7))
    reading, writing = queue.borrow(), queue.reserve()
    fill(writing.tree, 8)

    def ask_for_them():
        for loan in (reading, writing):
            with contextlib.suppress(ValueError):
                _ = loan.tree["obs"]["left"].sum()
        with contextlib.suppress(ValueError):
            writing.write(make_item(99))
        with contextlib.suppress(ValueError):
            fill(writing.tree, 98)
        assert reading.info.ticket == 0
        assert use(queue, 3) == 3

    reap(in_forked_child(ask_for_them))
    assert number_in(reading.tree) == 7 and number_in(writing.tree) == 8
    writing.commit()
    reading.release()
    assert get_numbers(queue) == [8]
    assert_capacity(queue)


def test_the_child_of_a_child_is_no_nearer_to_the_loan(queue):
    with queue.reserve() as loan:
        fill(loan.tree, 7)

        def have_a_child():
            fill(loan.tree, 98)
            reap(in_forked_child(lambda: fill(loan.tree, 99)))
            reap(in_forked_child(lambda: use(queue, 3)))

        reap(in_forked_child(have_a_child))
        assert number_in(loan.tree) == 7
        del have_a_child
    assert get_numbers(queue) == [7]
    assert_capacity(queue)


# The child's own use of the queue, and deaths.


def test_a_child_forked_in_the_block_can_use_the_queue(queue):
    queue.put(make_item(1))
    queue.put(make_item(2))
    with queue.borrow() as reading, queue.reserve() as writing:
        fill(writing.tree, 3)

        def use_it_in_every_way():
            with queue.borrow(timeout=WATCHDOG_S) as loan:
                assert number_in(loan.tree) == 2
                assert loan.info.producer_pid == os.getppid()
            with queue.reserve(timeout=WATCHDOG_S) as loan:
                fill(loan.tree, 4)
            with pytest.raises(ZeroDivisionError), queue.borrow(timeout=WATCHDOG_S) as loan:
                assert number_in(loan.tree) == 4
                assert loan.info.producer_pid == os.getpid()
                raise ZeroDivisionError
            assert queue.get_batch(1, timeout=WATCHDOG_S)["step"].tolist() == [4]
            with pytest.raises(Empty):
                queue.get_nowait()
            assert queue.stats().free == MAXSIZE - 2
            queue.close()

        reap(in_forked_child(use_it_in_every_way))
        assert number_in(reading.tree) == 1 and number_in(writing.tree) == 3
    assert get_numbers(queue) == [3]
    assert_capacity(queue)


def use_in_a_process(queue):
    assert use(queue, 5) == 5


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_processes_started_in_the_block_take_nothing_from_it(queue, nursery, start_method, take):
    with take_one(queue, take) as loan:
        nursery.finish(nursery.start(start_method, use_in_a_process, queue))
        assert number_in(loan.tree) == 7
        assert queue.stats().free == MAXSIZE - 1
    assert get_numbers(queue) == [7] * (take == "reserve")
    assert_capacity(queue)


def exit_with_inherited_loans(queue):
    # Their last references die here, at the end of a whole interpreter.
    INHERITED.clear()
    gc.collect()
    use(queue, 5)
    sys.exit(0)


INHERITED = []


def test_the_end_of_a_forked_interpreter_takes_nothing_from_its_parents_loans(queue, nursery):
    queue.put(make_item(7))
    INHERITED.extend([queue.borrow(), queue.reserve()])
    INHERITED.append(INHERITED[0].tree)
    nursery.finish(nursery.start("fork", exit_with_inherited_loans, queue))
    assert queue.stats().free == MAXSIZE - 2
    assert number_in(INHERITED[0].tree) == 7
    INHERITED.pop()
    INHERITED[0].release()
    INHERITED[1].abort()
    INHERITED.clear()
    assert_capacity(queue)


def hold_and_fork(queue, take, ready):
    """Fork a child in the block that outlives this process, and writes all the time."""
    with take_one(queue, take) as loan:
        tree = loan.tree
        if os.fork() == 0:
            signal.alarm(int(WATCHDOG_S))
            os.write(ready, struct.pack("i", os.getpid()))
            while True:
                for leaf in tree["obs"].values():
                    if leaf.flags.writeable:
                        leaf[...] = np.random.randint(100)
                    leaf.sum()
        time.sleep(WATCHDOG_S)


@pytest.mark.parametrize("take", ["reserve", "borrow"])
def test_a_loan_of_a_killed_process_comes_back_though_its_forked_child_lives(queue, take):
    here, there = os.pipe()
    holder = in_forked_child(lambda: hold_and_fork(queue, take, there))
    (orphan,) = struct.unpack("i", os.read(here, 4))
    try:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        assert [number_in(item) for item in drain(queue)] == [7] * (take == "borrow")
        for number in range(1000):
            queue.put(make_item(number % 200), timeout=WATCHDOG_S)
            with queue.borrow(timeout=WATCHDOG_S) as loan:
                assert number_in(loan.tree) == number % 200
        assert_capacity(queue)
        # It still runs: what its views look at did not make it crash.
        with open(f"/proc/{orphan}/stat") as stat:
            assert stat.read().rpartition(")")[2].split()[0] in "RS"
    finally:
        os.kill(orphan, signal.SIGKILL)
        os.close(here)
        os.close(there)


def test_many_forks_in_many_blocks_under_busy_threads(queue):
    """Whatever locks are held at the fork, no child hangs and no loan is lost."""
    stop = threading.Event()
    with TreeQueue(make_item(0), maxsize=2) as busy, TreeQueue(make_item(0), 1) as quiet:

        def lend():
            while not stop.is_set():
                with busy.reserve(timeout=WATCHDOG_S) as loan:
                    fill(loan.tree, 5)
                with busy.borrow(timeout=WATCHDOG_S) as loan:
                    view = loan.tree["obs"]["left"]
                assert (view == 5).all()
                del view

        worker = Worker(lend)
        for number in range(50):
            with Fork() as fork, queue.reserve() as loan:
                fill(loan.tree, number)
                if fork.is_child():
                    assert use(quiet, 3) == 3
                    gc.collect()
            assert get_numbers(queue) == [number]
        stop.set()
        worker.join()
    assert_capacity(queue)
