"""How a queue ends: closed by one process for itself, or shut down by anyone for everybody.

Closing is the end of this process's use; the others go on. Shutting down ends the putting at once
and the getting when what was put has been drained, and it ends the iteration over a queue.
"""

import os
import queue as standard
import re
import time
from datetime import datetime

import numpy as np
import pytest
from helpers import WATCHDOG_S, Worker

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


# What the exception says.


def moment_in(text):
    """When the text says that it was."""
    found = re.search(r"at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d), (\d+\.\d) s ago", text)
    assert found, text
    assert float(found[2]) < WATCHDOG_S
    return datetime.fromisoformat(found[1])


PUTS = {
    "put": lambda queue: queue.put(1),
    "put_nowait": lambda queue: queue.put_nowait(1),
    "put_batch": lambda queue: queue.put_batch(np.ones(2, np.int64)),
    "put_many": lambda queue: queue.put_many([1]),
    "reserve": lambda queue: queue.reserve(),
    "reserve_batch": lambda queue: queue.reserve_batch(2),
}
GETS = {
    "get": lambda queue: queue.get(),
    "get_nowait": lambda queue: queue.get_nowait(),
    "get_batch": lambda queue: queue.get_batch(2),
    "get_many": lambda queue: queue.get_many(2),
    "borrow": lambda queue: queue.borrow(),
    "borrow_batch": lambda queue: queue.borrow_batch(2, min=1),
}


def shut_down_by(queue, call):
    with pytest.raises(ShutDown) as caught:
        call(queue)
    (text,) = caught.value.args
    assert str(caught.value) == text
    return text


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("call", [*PUTS, *GETS])
def test_every_call_says_who_shut_the_queue_down_and_when(call, immediate):
    with TreeQueue(0, maxsize=4) as queue:
        before = datetime.now().replace(microsecond=0)
        queue.shutdown(immediate)
        text = shut_down_by(queue, {**PUTS, **GETS}[call])
        how = " with immediate=True" if immediate else ""
        assert text.startswith(
            f"the queue was shut down{how} by process {os.getpid()} (this process) at "
        )
        assert before <= moment_in(text) <= datetime.now()
        if call in PUTS:
            assert text.endswith(": nothing more can be put")
        else:
            assert text.endswith(
                ": what was left cannot be taken" if immediate else ": no item is left"
            )


@pytest.mark.parametrize("put", [False, True], ids=["get", "put"])
def test_a_call_that_was_waiting_is_told_too(put):
    with TreeQueue(0, maxsize=1) as queue:
        if put:
            queue.put(1)
        worker = Worker(queue.put, 2) if put else Worker(queue.get)
        time.sleep(SHORT_S)
        queue.shutdown()
        with pytest.raises(ShutDown, match=f"by process {os.getpid()}"):
            worker.join()


def test_the_name_of_a_queue_is_said(queue_folder):
    with TreeQueue(0, maxsize=1, name="actors") as queue:
        queue.shutdown()
        assert shut_down_by(queue, TreeQueue.get).startswith('the queue "actors" was shut down')


def test_a_batch_says_how_many_are_left(queue_folder):
    with TreeQueue(0, maxsize=4) as queue:
        queue.put(1)
        queue.shutdown()
        text = shut_down_by(queue, lambda queue: queue.get_batch(3))
        assert f"by process {os.getpid()}" in text
        assert "3 items were asked for, 1 is left" in text and "min=1" in text
        assert queue.get() == 1


def test_the_first_shutdown_is_named_to_puts_and_the_immediate_one_to_gets(start_method, nursery):
    with TreeQueue(0, maxsize=4) as queue:
        queue.shutdown()
        first = shut_down_by(queue, TreeQueue.get)
        answer = nursery.ask(start_method, shut_down_at_once, queue)
        other = nursery.answer(answer)
        assert other != os.getpid()
        of_put, of_get = (shut_down_by(queue, call) for call in (PUTS["put"], TreeQueue.get))
        assert f"by process {os.getpid()} (this process)" in of_put
        assert moment_in(of_put) == moment_in(first)
        assert "immediate" not in of_put
        assert f"with immediate=True by process {other} (another process)" in of_get
        stats = queue.stats()
        assert stats.shut_down_by == os.getpid()
        queue.shutdown(immediate=True)
        assert moment_in(shut_down_by(queue, TreeQueue.get)) == moment_in(of_get)


def shut_down_at_once(queue):
    queue.shutdown(immediate=True)
    return os.getpid()


def test_one_of_several_producers_that_shuts_down_is_named_to_the_others(start_method, nursery):
    with TreeQueue(0, maxsize=64) as queue:
        asked = [nursery.ask(start_method, produce, queue, number) for number in (1, 10**9)]
        taken = sum(1 for _ in queue)
        (pid, _), (_, text) = (nursery.answer(answer) for answer in asked)
        assert taken
        assert f"by process {pid} (another process)" in text


def produce(queue, number):
    """Put so many and shut down; what came between, if anything did."""
    try:
        for _ in range(number):
            queue.put(1)
    except ShutDown as error:
        return os.getpid(), str(error)
    queue.shutdown()
    return os.getpid(), ""


def test_stats_say_who_shut_the_queue_down_and_when():
    with TreeQueue(0, maxsize=1) as queue:
        stats = queue.stats()
        assert (stats.is_shut_down, stats.shut_down_by, stats.shut_down_at) == (False, None, None)
        before = time.time() - 0.001
        queue.shutdown()
        stats = queue.stats()
        assert (stats.is_shut_down, stats.shut_down_by) == (True, os.getpid())
        assert before <= stats.shut_down_at <= time.time()


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
