"""Handles: a queue pickles at any time, and every copy leads to the same items."""

import copy
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
from helpers import WATCHDOG_S, marked, read_mark

from treequeues import ArrayQueue, TreeQueue

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


class LabelledQueue(TreeQueue):
    """A subclass with an attribute of its own, which travels with the handle."""

    def __init__(self, label):
        super().__init__(marked(0, 0), maxsize=3)
        self.label = label


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_handle_unpickled_in_the_same_process_shares_the_items(protocol):
    with TreeQueue(marked(0, 0), maxsize=3) as queue:
        other = pickle.loads(pickle.dumps(queue, protocol))
        assert type(other) is TreeQueue
        assert (other.maxsize, other.nbytes) == (queue.maxsize, queue.nbytes)
        queue.put(marked(1, 1))
        other.put(marked(2, 2))
        assert queue.qsize() == other.qsize() == 2
        assert read_mark(other.get()) == (1, 1)
        assert read_mark(queue.get()) == (2, 2)


def test_a_handle_is_small_and_holds_no_items():
    with ArrayQueue(np.zeros(1 << 20, np.uint8), maxsize=4) as queue:
        queue.put(np.ones(1 << 20, np.uint8))
        assert len(pickle.dumps(queue)) < 4096


def test_a_handle_may_be_unpickled_many_times_and_pickled_again():
    with TreeQueue(0, maxsize=8) as queue:
        handle = pickle.dumps(queue)
        queue.put(1)
        for number in range(1, 20):
            with pickle.loads(pickle.dumps(pickle.loads(handle))) as other:
                assert other.get() == number
                other.put(number + 1)


def test_copies_made_by_the_copy_module_are_handles_too():
    with TreeQueue(0, maxsize=2) as queue:
        for other in (copy.copy(queue), copy.deepcopy({"queue": queue})["queue"]):
            other.put(5)
            assert queue.get() == 5


def test_a_shutdown_is_seen_through_every_handle():
    from treequeues import ShutDown

    with TreeQueue(0, maxsize=2) as queue:
        other = pickle.loads(pickle.dumps(queue))
        other.shutdown()
        with pytest.raises(ShutDown):
            queue.put(1)


def test_a_subclass_comes_back_as_itself_with_its_attributes():
    with LabelledQueue("left camera") as queue:
        other = pickle.loads(pickle.dumps(queue))
        assert type(other) is LabelledQueue
        assert other.label == "left camera"
        other.put(marked(1, 2))
        assert read_mark(queue.get()) == (1, 2)


def get_label_and_mark(queue):
    return type(queue).__name__, queue.label, read_mark(queue.get(timeout=WATCHDOG_S))


def test_a_subclass_reaches_another_process_as_itself(nursery, start_method):
    with LabelledQueue("arm") as queue:
        queue.put(marked(3, 4))
        result = nursery.call(start_method, get_label_and_mark, queue)
        assert result == ("LabelledQueue", "arm", (3, 4))


def answer_through_a_pipe(connection):
    """A worker that was started before any queue existed."""
    queue = connection.recv()
    mark = read_mark(queue.get(timeout=WATCHDOG_S))
    queue.put(marked(mark[0] + 1, mark[1] + 1))
    connection.send("done")
    connection.recv()


def test_a_queue_can_be_sent_through_a_pipe_to_a_process_that_runs_already(nursery, start_method):
    here, there = multiprocessing.get_context(start_method).Pipe()
    process = nursery.start(start_method, answer_through_a_pipe, there)
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        queue.put(marked(1, 1))
        here.send(queue)
        assert here.poll(WATCHDOG_S)
        assert here.recv() == "done"
        assert read_mark(queue.get()) == (2, 2)
        here.send(None)
        nursery.finish(process)


def get_a_queue_from_a_queue(queues):
    queue = queues.get(timeout=WATCHDOG_S)
    queue.put(marked(*read_mark(queue.get(timeout=WATCHDOG_S))))


def test_a_queue_can_be_sent_through_a_multiprocessing_queue(nursery, start_method):
    queues = multiprocessing.get_context(start_method).Queue()
    process = nursery.start(start_method, get_a_queue_from_a_queue, queues)
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        queue.put(marked(8, 9))
        queues.put(queue)
        nursery.finish(process)
        assert read_mark(queue.get()) == (8, 9)


def make_and_send_a_queue(connection):
    """A child makes the queue here, so that the handle leads to a process other than the parent."""
    with TreeQueue(marked(0, 0), maxsize=4) as queue:
        queue.put(marked(1, 7))
        connection.send(queue)
        connection.recv()
        assert read_mark(queue.get(timeout=WATCHDOG_S)) == (2, 8)


def test_a_child_can_make_a_queue_and_send_it_to_its_parent(nursery, start_method):
    here, there = multiprocessing.get_context(start_method).Pipe()
    process = nursery.start(start_method, make_and_send_a_queue, there)
    assert here.poll(WATCHDOG_S)
    queue = here.recv()
    assert read_mark(queue.get()) == (1, 7)
    queue.put(marked(2, 8))
    here.send(None)
    nursery.finish(process)
    # The maker is gone, and who attached goes on.
    queue.put(marked(3, 9))
    assert read_mark(queue.get()) == (3, 9)
    queue.close()


def pass_on(queue, methods):
    """Hand the queue down a chain of processes; the last one puts into it."""
    if not methods:
        queue.put(marked(4, 4))
        return
    context = multiprocessing.get_context(methods[0])
    child = context.Process(target=pass_on, args=(queue, methods[1:]))
    child.start()
    child.join(WATCHDOG_S)
    assert child.exitcode == 0


@pytest.mark.parametrize(
    "methods",
    [("spawn", "spawn"), ("fork", "spawn"), ("spawn", "fork"), ("forkserver", "spawn", "fork")],
    ids="-".join,
)
def test_a_child_hands_the_queue_on_to_its_own_child(nursery, methods):
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        process = nursery.start(methods[0], pass_on, queue, methods[1:], daemon=False)
        nursery.finish(process)
        assert read_mark(queue.get()) == (4, 4)


STRANGER = """
import pickle, sys
queue = pickle.load(sys.stdin.buffer)
item = queue.get(timeout=60)
item["frame"][...] += 1
queue.put(item)
"""


def test_a_process_of_no_kin_can_use_a_handle(tmp_path):
    with TreeQueue({"frame": np.zeros(5)}, maxsize=2) as queue:
        queue.put({"frame": np.arange(5.0)})
        subprocess.run(
            [sys.executable, "-c", STRANGER],
            input=pickle.dumps(queue),
            cwd=tmp_path,
            timeout=WATCHDOG_S,
            check=True,
        )
        assert queue.get()["frame"].tolist() == [1, 2, 3, 4, 5]
