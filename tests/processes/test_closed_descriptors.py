"""Processes that close descriptors which they did not open, as daemons do, and open other files.

The numbers are the other files' then: the queue leaves them alone, in its calls, when it ends, and
in forked children. Its locks outlive its descriptors, so that nobody takes the process for dead.
"""

import contextlib
import gc
import os
import pickle
import signal
import time
from queue import Empty

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, reap

from treequeues import TreeQueue

NAMES = (None, "closed")

pytestmark = pytest.mark.usefixtures("queue_folder")


def descriptors_of_queues():
    """The numbers that lead to segments, of named queues or not."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{number}")
            folder = os.environ["TREEQUEUES_DIR"]
            if path.startswith(("/memfd:treequeues", folder + "/")):
                found.append(number)
    return found


def close_descriptors():
    numbers = descriptors_of_queues()
    assert numbers
    for number in numbers:
        os.close(number)
    return numbers


class Files:
    """Files of the process's own at the numbers of the queue's descriptors."""

    def __init__(self, path):
        self._path, self._numbers = path, close_descriptors()
        for number in self._numbers:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if file != number:
                os.dup2(file, number)
                os.close(file)

    def are_open(self):
        return all(
            os.readlink(f"/proc/self/fd/{number}") == str(self._path) for number in self._numbers
        )


def in_child(function):
    reap(in_forked_child(function))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ["close", "drop"])
def test_end_of_a_queue_leaves_the_files_at_its_numbers_open(queue_folder, path, name, end):
    def close_and_end():
        queue = TreeQueue(0, maxsize=2, name=name)
        files = Files(path)
        queue.put(1)
        if end == "close":
            queue.close()
        del queue
        gc.collect()
        assert files.are_open()

    in_child(close_and_end)
    assert os.listdir(queue_folder) == [], "the last participant has taken the name with it"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", ["close", "drop", "use"])
def test_files_at_the_numbers_stay_open_in_a_forked_child(queue_folder, path, name, end):
    queue = TreeQueue(0, maxsize=2, name=name)
    holder = [queue]

    def close_and_fork():
        nonlocal queue
        files = Files(path)

        def end_in_child():
            nonlocal queue
            if end == "use":
                # It finds the queue by its name, or through its parent's parent.
                queue.put(1, timeout=WATCHDOG_S)
            elif end == "close":
                queue.close()
            holder.clear()
            del queue
            gc.collect()
            assert files.are_open()

        in_child(end_in_child)
        assert files.are_open()

    in_child(close_and_fork)
    assert queue.qsize() == (1 if end == "use" else 0)
    queue.close()


def test_daemon_that_closes_what_it_inherited_can_use_a_queue_that_has_a_name(queue_folder, path):
    queue = TreeQueue(0, maxsize=2, name="daemons")

    def be_a_daemon():
        files = Files(path)
        queue.put(1, timeout=WATCHDOG_S)
        assert queue.get(timeout=WATCHDOG_S) == 1
        with pytest.raises(Empty):
            queue.get(timeout=0.1)
        queue.put(2)
        assert files.are_open()

    in_child(be_a_daemon)
    assert queue.get() == 2
    queue.close()


def test_inherited_view_can_be_read_though_the_descriptors_are_closed(path):
    def close_and_fork():
        queue = TreeQueue(np.zeros(1 << 20), maxsize=2)
        queue.put(np.ones(1 << 20))
        loan = queue.borrow()
        view = loan.tree
        Files(path)

        def read():
            # Anything, but no signal.
            assert np.isfinite(view).all()
            loan.release()

        in_child(read)
        assert (view == 1).all()
        loan.release()

    in_child(close_and_fork)


@pytest.mark.parametrize("name", NAMES)
def test_calls_that_need_no_descriptor_go_on_and_others_say_so(queue_folder, path, name):
    def close_and_use():
        queue = TreeQueue(0, maxsize=2, name=name)
        Files(path)
        for number in range(100):
            queue.put(number)
            assert queue.get() == number
        with queue.reserve() as loan:
            loan.tree[...] = 5
        for needs_one in (queue.stats, lambda: pickle.dumps(queue)):
            with pytest.raises(OSError, match="descriptors of it were closed"):
                needs_one()
        assert queue.get() == 5
        # A wait would not notice a death.
        with pytest.raises(OSError, match="attach again"):
            queue.get(timeout=WATCHDOG_S)

    in_child(close_and_use)


def test_what_such_a_process_holds_is_its_own_until_it_dies(path):
    queue = TreeQueue(0, maxsize=2)
    queue.put(1)
    told, tell = os.pipe()

    def borrow_and_close():
        with queue.borrow() as loan:
            Files(path)
            os.write(tell, b".")
            # Until it is killed.
            time.sleep(WATCHDOG_S)
            del loan

    victim = in_forked_child(borrow_and_close)
    assert os.read(told, 1) == b"."
    with pytest.raises(Empty):
        queue.get(timeout=0.5)
    assert queue.stats().counters.deaths == 0
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    assert queue.get(timeout=WATCHDOG_S) == 1
    queue.close()
    os.close(told)
    os.close(tell)


def use_for_long(queue):
    """With waits, which look for the dead, and with a child."""
    queue.put(1, timeout=WATCHDOG_S)
    assert queue.get(timeout=WATCHDOG_S) == 1
    with pytest.raises(Empty):
        queue.get(timeout=0.1)
    in_child(lambda: queue.put(2, timeout=WATCHDOG_S))
    assert queue.get(timeout=WATCHDOG_S) == 2
    assert queue.stats().qsize == 0


def participants(queue):
    """How many live: those that have died are looked for before a wait."""
    with pytest.raises(Empty):
        queue.get(timeout=0.1)
    return queue.stats().participants


@pytest.mark.parametrize("is_forked", [False, True])
@pytest.mark.parametrize("what", ["keep", "close", "drop"])
@pytest.mark.parametrize("others", [False, True], ids=["", "at the same numbers"])
def test_attaching_by_the_name_works_after_the_descriptors_were_closed(
    queue_folder, path, is_forked, what, others
):
    keeper = TreeQueue(0, maxsize=4, name="again")

    def close_and_attach():
        nonlocal keeper
        old, keeper = keeper, None
        files = Files(path) if others else None
        if not others:
            close_descriptors()
        if what == "close":
            old.close()
        old = old if what == "keep" else None
        gc.collect()
        # Without others, these are likely to get the numbers of the old ones.
        queue = TreeQueue.attach("again")
        use_for_long(queue)
        if old is not None:
            old.put(3)
            assert queue.get() == 3
            old.close()
            gc.collect()
        use_for_long(queue)
        queue.close()
        assert files is None or files.are_open()

    def attach_and_close():
        # It has an attachment of its own once it has used the queue.
        if not is_forked:
            keeper.qsize()
        close_and_attach()

    in_child(attach_and_close)
    assert participants(keeper) == 1
    keeper.close()
    assert os.listdir(queue_folder) == []


def test_descriptors_of_another_queue_at_the_numbers_are_that_queues():
    def replace_and_close():
        first = TreeQueue(0, maxsize=2)
        numbers = descriptors_of_queues()
        second = TreeQueue(0, maxsize=2)
        others = [number for number in descriptors_of_queues() if number not in numbers]
        for number, other in zip(numbers, others, strict=True):
            os.dup2(other, number)
        with pytest.raises(OSError, match="descriptors of it were closed"):
            first.get(timeout=WATCHDOG_S)
        first.close()
        assert set(numbers) <= set(descriptors_of_queues())
        use_for_long(second)

    in_child(replace_and_close)


def test_descriptors_closed_by_range_in_a_program_before_it_executes_harm_nobody(nursery):
    queue = TreeQueue(0, maxsize=2)

    def close_and_execute():
        os.closerange(3, 256)
        os.execv("/bin/true", ["true"])

    reap(in_forked_child(close_and_execute))
    use_for_long(queue)
    assert participants(queue) == 1
    queue.close()
