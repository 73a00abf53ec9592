"""How a queue ends: closed by one process for itself, or shut down by anyone for everybody.

Closing is the end of this process's use; the others go on. Shutting down ends the putting at once
and the getting when what was put has been drained, and it ends the iteration over a queue.
"""

import queue as standard
import time

import pytest
from helpers import Worker

from treequeues import ShutDown, TreeQueue

# Long enough for a thread to block on a loaded machine; a test of one that did not proves less.
SHORT_S = 0.1


# Closing.


def test_a_with_block_closes_the_queue():
    with TreeQueue(0, maxsize=1) as queue:
        queue.put(1)
    with pytest.raises(ValueError, match="is closed"):
        queue.get()


def test_a_with_block_does_not_mask_the_error_inside_and_closes_all_the_same():
    with pytest.raises(ZeroDivisionError), TreeQueue(0, maxsize=1) as queue:
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="is closed"):
        queue.qsize()


def test_close_may_be_called_again():
    queue = TreeQueue(0, maxsize=1)
    queue.close()
    queue.close()


def test_join_thread_and_cancel_join_thread_do_nothing_at_any_time():
    queue = TreeQueue(0, maxsize=1)
    for _ in range(2):
        assert queue.join_thread() is None
        assert queue.cancel_join_thread() is None
        queue.close()


@pytest.mark.parametrize("put", [False, True], ids=["get", "put"])
def test_closing_ends_a_call_of_another_thread_that_blocks(put):
    queue = TreeQueue(0, maxsize=1)
    if put:
        queue.put(1)
    worker = Worker(queue.put, 2) if put else Worker(queue.get)
    time.sleep(SHORT_S)
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        worker.join()


# Shutting down.


def test_after_shutdown_puts_raise_and_gets_drain_then_raise():
    with TreeQueue(0, maxsize=4) as queue:
        queue.put(1)
        queue.put(2)
        queue.shutdown()
        for put in (queue.put, queue.put_nowait):
            with pytest.raises(ShutDown):
                put(3)
        assert queue.get() == 1
        assert queue.get_nowait() == 2
        for get in (queue.get, queue.get_nowait):
            with pytest.raises(ShutDown):
                get()


def test_a_full_queue_that_is_shut_down_reports_the_shutdown_not_full():
    with TreeQueue(0, maxsize=1) as queue:
        queue.put(1)
        queue.shutdown()
        with pytest.raises(ShutDown):
            queue.put_nowait(2)
        with pytest.raises(ShutDown):
            queue.put(2, timeout=SHORT_S)


def test_an_immediate_shutdown_leaves_nothing_to_get():
    with TreeQueue(0, maxsize=4) as queue:
        queue.put(1)
        queue.shutdown(immediate=True)
        with pytest.raises(ShutDown):
            queue.get()
        with pytest.raises(ShutDown):
            queue.put(2)


def test_a_draining_shutdown_may_become_immediate_and_never_the_other_way():
    with TreeQueue(0, maxsize=4) as queue:
        queue.put(1)
        queue.shutdown()
        queue.shutdown()
        queue.shutdown(True)
        with pytest.raises(ShutDown):
            queue.get_nowait()
        queue.shutdown(False)
        with pytest.raises(ShutDown):
            queue.get_nowait()


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_blocked_getters(immediate):
    with TreeQueue(0, maxsize=1) as queue:
        workers = [Worker(queue.get) for _ in range(3)]
        time.sleep(SHORT_S)
        queue.shutdown(immediate)
        for worker in workers:
            with pytest.raises(ShutDown):
                worker.join()


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_blocked_putters_and_their_items_are_not_in_the_queue(immediate):
    with TreeQueue(0, maxsize=1) as queue:
        queue.put(1)
        workers = [Worker(queue.put, number) for number in (2, 3, 4)]
        time.sleep(SHORT_S)
        queue.shutdown(immediate)
        for worker in workers:
            with pytest.raises(ShutDown):
                worker.join()
        if not immediate:
            assert queue.get() == 1
        with pytest.raises(ShutDown):
            queue.get()


def test_the_shutdown_exception_is_the_standard_librarys_where_it_has_one():
    assert issubclass(ShutDown, Exception)
    assert ShutDown is getattr(standard, "ShutDown", ShutDown)


# Iterating.


def test_iteration_ends_when_the_queue_is_shut_down_and_drained():
    with TreeQueue(0, maxsize=8) as queue:
        for number in range(5):
            queue.put(number)
        queue.shutdown()
        assert list(queue) == [0, 1, 2, 3, 4]
        assert list(queue) == []


def test_iteration_waits_for_items_that_come_later():
    with TreeQueue(0, maxsize=2) as queue:
        worker = Worker(list, queue)
        for number in range(20):
            queue.put(number)
        time.sleep(SHORT_S)
        queue.put(20)
        queue.shutdown()
        assert worker.join() == list(range(21))


def test_iteration_that_is_left_takes_no_item_too_many():
    with TreeQueue(0, maxsize=4) as queue:
        for number in range(4):
            queue.put(number)
        for number in queue:
            if number == 1:
                break
        assert queue.get() == 2
