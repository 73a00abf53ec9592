"""The queue tests of CPython's own multiprocessing suite, asked of `TreeQueue(0, maxsize=...)`.

They follow `_TestQueue`, `TestSimpleQueue` and the queue cases of the process and start-method
tests in Lib/test/_test_multiprocessing.py (3.11 to 3.13), written anew. An item is one Python int,
a queue without a bound becomes one of 32, and each test that starts a process does so by every
start method.

Left out, and why:

- `test_task_done`: `JoinableQueue` with `task_done` and `join` is another class.
- `test_queue_feeder_donot_stop_onexc`, `test_queue_feeder_on_queue_feeder_error`: there is no
  feeder thread that pickles later. Their point, that an item which cannot be sent leaves the queue
  in order, is `test_an_item_that_cannot_be_sent_leaves_the_queue_in_order` below.
- The first half of `test_closed_queue_empty_exceptions` (a closed queue that was never used answers
  `empty()`): closing takes effect at once here, used or not. The second half raises `OSError`
  there; here every call after `close` raises the `ValueError` that `put` and `get` raise in both.
- `TestSimpleQueue.test_closed`: looks at private attributes.
- `TestSyncManagerTypes.test_queue` and `test_joinable_queue`: a manager's queue lives in a server.
- The parts of `test_args_argument` and `test_process` that send str, dict and bytes: they test
  `Process`, and such items are not arrays.
"""

import contextlib
import gc
import multiprocessing
import os
import queue as standard
import subprocess
import sys
import time
import weakref

import pytest
from helpers import START_METHODS, WATCHDOG_S, open_descriptors

from treequeues import TreeQueue

UNBOUNDED = 32

# The suite's TIMEOUT1 and TIMEOUT3, and one so long that waiting for it would be seen.
TIMEOUT_1, TIMEOUT_3 = 0.82, 1.4
TOO_LONG = 10 * WATCHDOG_S


def elapsed_until(exception, function, *args, **kwargs):
    start = time.monotonic()
    with pytest.raises(exception):
        function(*args, **kwargs)
    return time.monotonic() - start


def get_six(queue, child_can_start, parent_can_continue):
    assert child_can_start.wait(WATCHDOG_S)
    for _ in range(6):
        queue.get(timeout=WATCHDOG_S)
    parent_can_continue.set()


def test_put(nursery, start_method):
    context = multiprocessing.get_context(start_method)
    queue = TreeQueue(0, maxsize=6)
    child_can_start, parent_can_continue = context.Event(), context.Event()
    process = nursery.start(start_method, get_six, queue, child_can_start, parent_can_continue)

    assert queue.empty() is True
    assert queue.full() is False

    queue.put(1)
    queue.put(2, True)
    queue.put(3, True, None)
    queue.put(4, False)
    queue.put(5, False, None)
    queue.put_nowait(6)

    # A put is visible when it returns: nothing is to be waited for here.
    assert queue.empty() is False
    assert queue.full() is True

    assert elapsed_until(standard.Full, queue.put, 7, False) < WATCHDOG_S
    assert elapsed_until(standard.Full, queue.put, 7, False, None) < WATCHDOG_S
    assert elapsed_until(standard.Full, queue.put_nowait, 7) < WATCHDOG_S
    assert elapsed_until(standard.Full, queue.put, 7, True, TIMEOUT_1) >= TIMEOUT_1
    assert elapsed_until(standard.Full, queue.put, 7, False, TOO_LONG) < WATCHDOG_S
    assert elapsed_until(standard.Full, queue.put, 7, True, timeout=TIMEOUT_3) >= TIMEOUT_3

    child_can_start.set()
    assert parent_can_continue.wait(WATCHDOG_S)

    assert queue.empty() is True
    assert queue.full() is False
    nursery.finish(process)
    queue.close()
    queue.join_thread()


def put_four(queue, child_can_start, parent_can_continue):
    assert child_can_start.wait(WATCHDOG_S)
    for number in (2, 3, 4, 5):
        queue.put(number)
    parent_can_continue.set()


def test_get(nursery, start_method):
    context = multiprocessing.get_context(start_method)
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    child_can_start, parent_can_continue = context.Event(), context.Event()
    process = nursery.start(start_method, put_four, queue, child_can_start, parent_can_continue)

    assert queue.empty() is True

    child_can_start.set()
    assert parent_can_continue.wait(WATCHDOG_S)

    assert queue.empty() is False
    assert queue.get(True, None) == 2
    assert queue.get(True) == 3
    assert queue.get(timeout=1) == 4
    assert queue.get_nowait() == 5
    assert queue.empty() is True

    assert elapsed_until(standard.Empty, queue.get, False) < WATCHDOG_S
    assert elapsed_until(standard.Empty, queue.get, False, None) < WATCHDOG_S
    assert elapsed_until(standard.Empty, queue.get_nowait) < WATCHDOG_S
    assert elapsed_until(standard.Empty, queue.get, True, TIMEOUT_1) >= TIMEOUT_1
    assert elapsed_until(standard.Empty, queue.get, False, TOO_LONG) < WATCHDOG_S
    assert elapsed_until(standard.Empty, queue.get, timeout=TIMEOUT_3) >= TIMEOUT_3

    nursery.finish(process)
    queue.close()
    queue.join_thread()


def put_ten_more(queue):
    for number in range(10, 20):
        queue.put(number)
    # The process may end at once: what it put is in the queue and not in a buffer of its own.


def test_fork(nursery, start_method):
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    for number in range(10):
        queue.put(number)
    process = nursery.start(start_method, put_ten_more, queue)
    for number in range(20):
        assert queue.get(timeout=WATCHDOG_S) == number
    with pytest.raises(standard.Empty):
        queue.get(False)
    nursery.finish(process)
    queue.close()


def test_qsize():
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    assert queue.qsize() == 0
    queue.put(1)
    assert queue.qsize() == 1
    queue.put(5)
    assert queue.qsize() == 2
    queue.get()
    assert queue.qsize() == 1
    queue.get()
    assert queue.qsize() == 0
    queue.close()


IMPORTED_BY_AN_IMPORTED_MODULE = """
from treequeues import TreeQueue

queue = TreeQueue(0, maxsize=4)
queue.put(1)
queue.get(timeout=3)
queue.close()
del queue
"""


def test_no_import_lock_contention(tmp_path):
    (tmp_path / "imported_by_an_imported_module.py").write_text(IMPORTED_BY_AN_IMPORTED_MODULE)
    subprocess.run(
        [sys.executable, "-c", "import imported_by_an_imported_module"],
        cwd=tmp_path,
        timeout=WATCHDOG_S,
        check=True,
    )


def test_timeout():
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    assert elapsed_until(standard.Empty, queue.get, True, 0.200) >= 0.200
    queue.close()


class NotSendable:
    def __index__(self):
        raise AttributeError

    __int__ = __float__ = __array__ = __reduce__ = __index__


@pytest.mark.parametrize("maxsize", [UNBOUNDED, 1])
def test_an_item_that_cannot_be_sent_leaves_the_queue_in_order(maxsize):
    queue = TreeQueue(0, maxsize=maxsize)
    # The standard queue can only print the error from its feeder; here the put itself raises.
    with pytest.raises((ValueError, AttributeError)):
        queue.put(NotSendable())
    queue.put(1)
    assert queue.qsize() == 1
    assert queue.get(timeout=WATCHDOG_S) == 1
    assert queue.empty()
    queue.close()


@pytest.mark.parametrize("used", [False, True])
def test_closed_queue_empty_exceptions(used):
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    if used:
        queue.put(1)
    queue.close()
    queue.join_thread()
    with pytest.raises(ValueError, match="is closed"):
        queue.empty()


def test_closed_queue_put_get_exceptions():
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        queue.put(1)
    with pytest.raises(ValueError, match="is closed"):
        queue.get()


# TestSimpleQueue.


def put_what_empty_says(queue, child_can_start, parent_can_continue):
    assert child_can_start.wait(WATCHDOG_S)
    try:
        queue.put(int(queue.empty()))
        queue.put(int(queue.empty()))
    finally:
        parent_can_continue.set()


def test_simple_queue_empty(nursery, start_method):
    context = multiprocessing.get_context(start_method)
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    child_can_start, parent_can_continue = context.Event(), context.Event()
    process = nursery.start(
        start_method, put_what_empty_says, queue, child_can_start, parent_can_continue
    )
    assert queue.empty()
    child_can_start.set()
    assert parent_can_continue.wait(WATCHDOG_S)
    assert not queue.empty()
    assert queue.get() == 1
    assert queue.get() == 0
    assert queue.empty()
    nursery.finish(process)


def test_simple_queue_close_twice():
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    queue.close()
    queue.close()


# The queue cases of the process and start-method tests.


def put_number(queue, number):
    queue.put(number)


@pytest.mark.parametrize("kind", [list, tuple])
def test_args_argument(nursery, start_method, kind):
    queue = TreeQueue(0, maxsize=1)
    context = multiprocessing.get_context(start_method)
    process = context.Process(target=put_number, args=kind((queue, 5)), daemon=True)
    process.start()
    assert queue.get(timeout=WATCHDOG_S) == 5
    nursery.finish(process)


class PutsFive:
    def __call__(self, queue, itself):
        assert isinstance(itself, PutsFive)
        queue.put(5)


def test_lose_target_ref(nursery, start_method):
    target = PutsFive()
    reference = weakref.ref(target)
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    context = multiprocessing.get_context(start_method)
    process = context.Process(target=target, args=(queue, target))
    del target
    process.start()
    nursery.finish(process)
    gc.collect()
    assert reference() is None
    assert queue.get() == 5


def put_descriptor_count_and_wait(event, queue):
    queue.put(len(open_descriptors()))
    event.wait(WATCHDOG_S)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_child_fd_inflation(nursery, method):
    event = multiprocessing.get_context(method).Event()
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    processes = [
        nursery.start(method, put_descriptor_count_and_wait, event, queue) for _ in range(5)
    ]
    counts = [queue.get(timeout=WATCHDOG_S) for _ in processes]
    event.set()
    assert len(set(counts)) == 1, counts
    for process in processes:
        nursery.finish(process)


def get_without_waiting(queue):
    with contextlib.suppress(standard.Empty):
        queue.get(block=False)


def make_a_queue_and_a_child():
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    child = multiprocessing.Process(target=get_without_waiting, args=(queue,))
    child.start()
    child.join(WATCHDOG_S)
    assert child.exitcode == 0


def test_queue_in_process(nursery, start_method):
    process = nursery.start(start_method, make_a_queue_and_a_child, daemon=False)
    nursery.finish(process)


@pytest.mark.parametrize("outer", START_METHODS)
@pytest.mark.parametrize("inner", START_METHODS)
def test_mixed_startmethod(nursery, outer, inner):
    # The standard queue is tied to one context and refuses some of these; a TreeQueue is not.
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    for method in (outer, inner):
        nursery.finish(nursery.start(method, put_number, queue, START_METHODS.index(method)))
    assert [queue.get(), queue.get()] == [START_METHODS.index(outer), START_METHODS.index(inner)]


def put_two_and_nest_once(queue, method):
    queue.put(2)
    process = multiprocessing.get_context(method).Process(target=put_number, args=(queue, 1))
    process.start()
    process.join(WATCHDOG_S)
    assert process.exitcode == 0


def test_nested_startmethod(nursery, start_method):
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    process = nursery.start(start_method, put_two_and_nest_once, queue, start_method, daemon=False)
    nursery.finish(process)
    results = []
    while not queue.empty():
        results.append(queue.get())
    # The second put began when the first had returned, so the order is certain.
    assert results == [2, 1]


def put_pid(queue):
    queue.put(os.getpid())


def test_a_child_that_ends_at_once_has_put_its_item(nursery, start_method):
    # After `test_queue_in_process` and the like: no feeder thread can lose what was put.
    queue = TreeQueue(0, maxsize=UNBOUNDED)
    for _ in range(5):
        process = nursery.start(start_method, put_pid, queue)
        nursery.finish(process)
        assert queue.get_nowait() == process.pid
