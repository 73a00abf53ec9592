"""Processes that may have 64 descriptors, and have none left.

What needs one fails with the system's reason and changes nothing; what needs none goes on.
"""

import errno
import multiprocessing
import os
import pickle
import resource
import signal
from queue import Empty, Full

import numpy as np
import pytest
from helpers import WATCHDOG_S, in_forked_child, open_descriptors, reap

from treequeues import TreeQueue

LIMIT = 64

# More than any call needs.
MOST_LEFT = 6


def limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


class Filled:
    """All descriptors that this process may have, but for `left` of them."""

    def __init__(self, left=0):
        limit()
        self._held = []
        try:
            while True:
                self._held.append(os.dup(0))
        except OSError as error:
            assert error.errno == errno.EMFILE
        for _ in range(left):
            os.close(self._held.pop())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for descriptor in self._held:
            os.close(descriptor)


def count_open():
    """How many descriptors are open; needs none itself."""
    count = 0
    for number in range(LIMIT):
        try:
            os.fstat(number)
            count += 1
        except OSError:
            continue
    return count


def put_and_get(queue, number):
    queue.put(number, timeout=WATCHDOG_S)
    assert queue.get(timeout=WATCHDOG_S) == number


def make_until_refused(name):
    """Make queues until one is refused, use them all, close one, and make another."""
    room = LIMIT - count_open()
    limit()
    named = (lambda: {"name": f"q{len(queues)}"}) if name else dict
    queues = []
    while True:
        before = count_open()
        try:
            queues.append(TreeQueue(0, maxsize=2, **named()))
        except OSError as error:
            refusal = error
            break
    assert refusal.errno == errno.EMFILE
    assert "Too many open files" in str(refusal)
    assert count_open() == before
    for number, queue in enumerate(queues):
        put_and_get(queue, number)
        with pytest.raises(Empty):
            queue.get(timeout=0.001)
    queues.pop().close()
    queues.append(TreeQueue(0, maxsize=2, **named()))
    put_and_get(queues[-1], 7)
    # Two descriptors each, and a few that creating takes for a moment.
    assert room // 2 - 2 <= len(queues) <= room // 2
    for queue in queues:
        queue.close()


@pytest.mark.parametrize("name", [False, True], ids=["anonymous", "named"])
def test_the_queue_too_many_is_a_clear_error_and_the_others_go_on(nursery, queue_folder, name):
    nursery.call("fork", make_until_refused, name)
    assert os.listdir(queue_folder) == []


def try_with_few_left(handle):
    """Each way to a queue, with ever more descriptors left: whether it worked."""
    here = TreeQueue(0, maxsize=2)
    ways = {
        "create": lambda: TreeQueue(0, maxsize=2),
        "create a named one": lambda: TreeQueue(0, maxsize=2, name="new"),
        "attach": lambda: TreeQueue.attach("old"),
        "open": lambda: TreeQueue.open("old", 0, 2),
        "unpickle": lambda: pickle.loads(handle),
    }
    worked = {way: [] for way in ways}
    for left in range(MOST_LEFT + 1):
        with Filled(left):
            for way, call in ways.items():
                before = count_open()
                try:
                    with call() as queue:
                        put_and_get(queue, left)
                    worked[way].append(True)
                except OSError as error:
                    assert error.errno == errno.EMFILE, (way, left, error)
                    assert "Too many open files" in str(error)
                    # That would lead the user astray: it is this process that is at its limit.
                    assert "name=" not in str(error) and "TREEQUEUES_DIR" not in str(error)
                    worked[way].append(False)
                assert count_open() == before, (way, left)
                put_and_get(here, left)
        assert os.listdir(os.environ["TREEQUEUES_DIR"]) == ["old"]
    return worked


def test_what_finds_too_few_descriptors_changes_nothing(nursery, queue_folder):
    with TreeQueue(0, maxsize=2, name="old"), TreeQueue(0, maxsize=2) as anonymous:
        worked = nursery.call("fork", try_with_few_left, pickle.dumps(anonymous))
        put_and_get(anonymous, 1)
        assert anonymous.stats().participants == 1
    for way, outcomes in worked.items():
        # From some number on it works, and there it stays.
        assert outcomes == sorted(outcomes), way
        assert (outcomes[0], outcomes[-1]) == (False, True), way


def work_with_none_left():
    queue = TreeQueue(0, maxsize=2)
    handle = pickle.dumps(queue)
    with Filled():
        put_and_get(queue, 1)
        queue.put(1)
        with queue.borrow() as loan:
            assert int(loan.tree) == 1
        queue.put_many([1, 2])
        with pytest.raises(Full):
            queue.put(3, timeout=0.2)
        assert queue.get_batch(2).tolist() == [1, 2]
        with pytest.raises(Empty):
            queue.get(timeout=0.2)
        assert queue.stats().participants == 1
        assert pickle.dumps(queue) == handle
        with pickle.loads(handle) as again:
            put_and_get(again, 2)
        # A child closes what it inherits of its parent's locks, and so can have its own.
        reap(in_forked_child(lambda: put_and_get(queue, 3)))
        # Those of the dead are found too.
        victim = in_forked_child(lambda: (queue.reserve_batch(2), signal.raise_signal(9)))
        os.waitpid(victim, 0)
        put_and_get(queue, 4)
        queue.put_many([5, 6], timeout=WATCHDOG_S)


def test_a_queue_that_is_open_needs_no_more_descriptors(nursery):
    nursery.call("fork", work_with_none_left)


def leave_with_none_left(way):
    queue = TreeQueue(0, maxsize=2, name="a")
    kept = TreeQueue(0, maxsize=2, name="kept", keep=True)
    with Filled():
        if way == "unlink":
            queue.unlink()
            assert not os.path.exists(os.path.join(os.environ["TREEQUEUES_DIR"], "a"))
            put_and_get(queue, 1)
        queue.close()
        kept.close()


@pytest.mark.parametrize("way", ["close", "unlink"])
def test_a_name_goes_with_a_process_that_has_no_descriptor_left(nursery, queue_folder, way):
    nursery.call("fork", leave_with_none_left, way)
    assert os.listdir(queue_folder) == ["kept"]


def leave_a_folder_of_others(path):
    queue = TreeQueue(0, maxsize=2, name="a")
    os.chmod(path, 0o770)
    with Filled():
        queue.close()


def test_a_folder_that_others_can_write_to_is_left_alone_then_too(nursery, queue_folder):
    nursery.call("fork", leave_a_folder_of_others, queue_folder)
    assert os.listdir(queue_folder) == ["a"]


def spawn_with_few_left():
    context = multiprocessing.get_context("spawn")
    with TreeQueue(0, maxsize=2) as queue:
        for left in range(0, MOST_LEFT + 1, 2):
            with Filled(left):
                before = count_open()
                process = context.Process(target=put_and_get, args=(queue, left))
                try:
                    process.start()
                except OSError as error:
                    assert error.errno == errno.EMFILE
                    # What multiprocessing itself opened before it failed is not ours to count.
                    assert count_open() <= before + 4
                else:
                    process.join(WATCHDOG_S)
                    assert process.exitcode is not None
                put_and_get(queue, left)
        # With room again, it works as if nothing had been.
        process = context.Process(target=put_and_get, args=(queue, 9))
        process.start()
        process.join(WATCHDOG_S)
        assert process.exitcode == 0
        assert queue.stats().participants == 1


def test_a_process_that_cannot_be_spawned_leaves_the_queue_as_it_was(nursery):
    nursery.call("fork", spawn_with_few_left)


def create_blindly():
    """Create a queue that is larger than the limit below, when nobody can say what there is."""
    # Were the memory taken unseen, this would stop it: the kernel's last resort is to kill.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    with Filled(left=1), pytest.raises(OSError) as refused:
        TreeQueue(np.broadcast_to(np.uint8(0), (1 << 40,)), maxsize=2)
    return refused.value.errno, str(refused.value)


def test_memory_that_nobody_can_look_at_is_not_taken_for_unlimited(nursery):
    number, message = nursery.call("fork", create_blindly)
    assert number == errno.EMFILE
    assert "how much memory there is" in message


def test_descriptors_are_counted_right():
    assert count_open() == len([number for number in open_descriptors() if int(number) < LIMIT])
