"""Forks at awkward moments: in the middle of calls, with items in the queue, under busy threads.

A forked child is a participant of its own from its first use on, and its end takes nothing from its
parent. Children here are made by `os.fork` itself, so that nothing tidies up between.
"""

import os
import threading
import time
from queue import Empty

import numpy as np
from helpers import (
    WATCHDOG_S,
    Worker,
    drain,
    in_forked_child,
    marked,
    read_mark,
    reap,
    wait_until_asleep,
)

from treequeues import ArrayQueue, TreeQueue

FORKS = 20


def put_and_get_own(queue, number):
    """With an otherwise empty queue: what one puts, one gets."""
    queue.put(marked(number, number), timeout=WATCHDOG_S)
    assert read_mark(queue.get(timeout=WATCHDOG_S)) == (number, number)


def test_a_queue_forked_in_the_middle_of_a_get_works_in_child_and_parent():
    for number in range(FORKS):
        with TreeQueue(marked(0, 0), maxsize=2) as waiting, TreeQueue(marked(0, 0), 2) as other:
            getter = Worker(waiting.get)
            wait_until_asleep(os.getpid(), getter.native_id)

            def use_both(waiting=waiting, other=other, number=number):
                put_and_get_own(other, number)
                # This item is for the parent's thread, which waits across the fork.
                waiting.put(marked(7, number), timeout=WATCHDOG_S)

            reap(in_forked_child(use_both))
            assert read_mark(getter.join()) == (7, number)
            put_and_get_own(waiting, number)
            put_and_get_own(other, number)


def test_a_child_can_get_from_the_queue_on_which_its_parents_thread_waits():
    with TreeQueue(marked(0, 0), maxsize=4) as queue:
        getter = Worker(queue.get)
        wait_until_asleep(os.getpid(), getter.native_id)
        child = in_forked_child(lambda: read_mark(queue.get(timeout=WATCHDOG_S)))
        queue.put(marked(1, 1))
        queue.put(marked(1, 2))
        reap(child)
        assert read_mark(getter.join())[0] == 1
        assert queue.qsize() == 0


def test_a_queue_forked_in_the_middle_of_a_put_works_in_child_and_parent():
    with TreeQueue(marked(0, 0), maxsize=1) as queue:
        for number in range(FORKS):
            queue.put(marked(1, number))
            putter = Worker(queue.put, marked(2, number))
            wait_until_asleep(os.getpid(), putter.native_id)

            def get_one(number=number):
                assert read_mark(queue.get(timeout=WATCHDOG_S)) == (1, number)

            reap(in_forked_child(get_one))
            putter.join()
            assert read_mark(queue.get(timeout=WATCHDOG_S)) == (2, number)


def test_a_queue_forked_half_full_gives_each_item_to_one_of_them():
    with TreeQueue(marked(0, 0), maxsize=8) as queue:
        for number in range(4):
            queue.put(marked(1, number))

        def take_two_and_put_one():
            assert [read_mark(queue.get_nowait()) for _ in range(2)] == [(1, 0), (1, 1)]
            queue.put_nowait(marked(2, 0))

        reap(in_forked_child(take_two_and_put_one))
        assert queue.qsize() == 3
        assert [read_mark(item) for item in drain(queue)] == [(1, 2), (1, 3), (2, 0)]


def test_a_grandchild_works_and_so_does_one_whose_parent_is_gone():
    with TreeQueue(marked(0, 0), maxsize=4) as queue:

        def have_a_child():
            queue.put(marked(1, 0))
            reap(in_forked_child(lambda: queue.put(marked(2, 0))))
            queue.put(marked(1, 1))

        reap(in_forked_child(have_a_child))
        assert [read_mark(queue.get()) for _ in range(3)] == [(1, 0), (2, 0), (1, 1)]


def test_a_grandchild_works_though_its_parent_never_used_the_queue():
    with TreeQueue(marked(0, 0), maxsize=4) as queue:
        reap(in_forked_child(lambda: reap(in_forked_child(lambda: queue.put(marked(2, 0))))))
        assert read_mark(queue.get()) == (2, 0)


def test_a_child_that_dies_in_many_ways_takes_nothing_from_its_parent(nursery):
    def close(queue):
        queue.close()

    def drop(queue):
        del queue

    def use_and_close(queue):
        queue.put(marked(3, 3))
        queue.get()
        queue.close()

    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        stranger = nursery.ask("fork", echo_until_shutdown, queue, 200)
        for number in range(30):
            way = (close, drop, use_and_close)[number % 3]
            if way is not use_and_close:
                reap(in_forked_child(lambda way=way: way(queue)))
            # A parent that counted as dead now would lose its item to the sweep of the other.
            queue.put(marked(1, number), timeout=WATCHDOG_S)
        queue.shutdown()
        assert nursery.answer(stranger) == [(1, number) for number in range(30)]


def echo_until_shutdown(queue, most):
    seen = []
    for item in queue:
        seen.append(read_mark(item))
        assert len(seen) <= most
    return seen


def test_a_closed_queue_stays_closed_in_the_child():
    queue = TreeQueue(0, maxsize=1)
    queue.close()

    def try_it():
        try:
            queue.get_nowait()
        except ValueError as error:
            assert "is closed" in str(error)
        else:
            raise AssertionError("a closed queue worked")

    reap(in_forked_child(try_it))


def test_closing_in_the_child_leaves_the_parents_queue_open_and_the_other_way_round():
    queue = TreeQueue(marked(0, 0), maxsize=2)
    reap(in_forked_child(queue.close))
    put_and_get_own(queue, 1)
    here, there = os.pipe()

    def outlive_the_parents_handle():
        os.read(here, 1)
        put_and_get_own(queue, 2)

    child = in_forked_child(outlive_the_parents_handle)
    queue.close()
    os.write(there, b"x")
    reap(child)
    os.close(here)
    os.close(there)


def test_a_queue_made_in_a_child_dies_with_it_and_not_with_its_own_children():
    def make_and_fork():
        with TreeQueue(marked(0, 0), maxsize=2) as queue:
            for number in range(3):
                reap(in_forked_child(lambda number=number: queue.put(marked(1, number))))
                assert read_mark(queue.get()) == (1, number)

    reap(in_forked_child(make_and_fork))


def test_forks_under_busy_threads_hang_nobody_and_mix_nothing():
    """Whatever locks the threads hold at the fork, the child finds the queue usable."""
    stop = threading.Event()
    with (
        ArrayQueue(np.zeros((64, 256), np.int64), maxsize=3) as busy,
        TreeQueue(marked(0, 0), maxsize=2) as quiet,
    ):

        def put():
            count = 0
            while not stop.is_set():
                busy.put(np.full((64, 256), count), timeout=WATCHDOG_S)
                count += 1
            return count

        def get():
            total = 0
            while True:
                try:
                    array = busy.get(timeout=0.5)
                except Empty:
                    if stop.is_set():
                        return total
                    continue
                assert (array == array[0, 0]).all(), "a torn or mixed item"
                total += 1

        putters, getters = [Worker(put) for _ in range(2)], [Worker(get) for _ in range(2)]

        def use_the_quiet_queue(number):
            put_and_get_own(quiet, number)
            # The busy one too: its counts go up by what the child takes.
            array = busy.get(timeout=WATCHDOG_S)
            assert (array == array[0, 0]).all(), "a torn or mixed item"
            busy.put(array, timeout=WATCHDOG_S)

        for number in range(5 * FORKS):
            reap(in_forked_child(lambda number=number: use_the_quiet_queue(number)))
            time.sleep(0.001)
        stop.set()
        put_count = sum(worker.join() for worker in putters)
        got_count = sum(worker.join() for worker in getters)
        assert put_count == got_count + len(drain(busy))


def test_a_child_that_exits_at_once_under_busy_threads_costs_nothing():
    stop = threading.Event()
    with TreeQueue(marked(0, 0), maxsize=2) as queue:

        def put():
            count = 0
            while not stop.is_set():
                queue.put(marked(1, count), timeout=WATCHDOG_S)
                count += 1
            return count

        def get():
            seen = []
            while True:
                try:
                    seen.append(read_mark(queue.get(timeout=0.5))[1])
                except Empty:
                    if stop.is_set():
                        return seen

        putter, getter = Worker(put), Worker(get)
        for _ in range(5 * FORKS):
            reap(in_forked_child(lambda: None))
        stop.set()
        count = putter.join()
        assert getter.join() == list(range(count))
