"""Handles: a queue pickles at any time, and every copy leads to the same items."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from multiprocessing import popen_forkserver
from multiprocessing.context import set_spawning_popen

import numpy as np
import pytest
from helpers import WATCHDOG_S, Passed, marked, open_descriptors, read_mark

from treequeues import ArrayQueue, TreeQueue
from treequeues._pickling import rebuild

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
            # Another object on the same items: closing it leaves the first one open.
            other.close()
        queue.put(6)
        assert queue.get() == 6


# Handles that name a descriptor which is passed on to a process with its start.


class Starter:
    """Stands in for what starts a process, and remembers the descriptors that it is to pass on."""

    DupFd = Passed

    def __init__(self):
        self.numbers = []

    def duplicate_for_child(self, number):
        self.numbers.append(number)
        return number

    def pickle(self, value):
        set_spawning_popen(self)
        try:
            return pickle.dumps(value)
        finally:
            set_spawning_popen(None)


def number_of(queue):
    return queue._handle()[1]


def test_a_descriptor_is_passed_on_once_to_each_process():
    with TreeQueue(0, maxsize=2) as one, TreeQueue(0, maxsize=2) as two:
        for _ in range(2):
            starter = Starter()
            starter.pickle((one, copy.copy(one), two))
            starter.pickle({"again": (two, pickle.loads(pickle.dumps(one)))})
            assert starter.numbers == [number_of(one), number_of(two)]


def test_a_handle_that_never_left_takes_no_descriptor_of_its_own_process():
    with TreeQueue(0, maxsize=2) as queue:
        before = numbers_of_segments()
        handle = Starter().pickle(queue)
        for _ in range(2):
            with pickle.loads(handle) as other:
                other.put(3)
                assert queue.get() == 3
        assert numbers_of_segments() == before


@pytest.fixture
def foreign(request, tmp_path):
    """A number that is not what a handle takes it for, and what says that it is left alone."""
    kind = request.param
    if kind == "closed":
        # So far up that nothing takes it meanwhile.
        number = max(map(int, open_descriptors())) + 100
        yield number, lambda: not os.path.lexists(f"/proc/self/fd/{number}")
        return
    with TreeQueue(0, maxsize=2) as another:
        if kind == "a file":
            number = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        elif kind == "a pipe":
            number, writer = os.pipe()
            os.close(writer)
        else:
            number = os.dup(number_of(another))
        # As what a process is started with.
        os.set_inheritable(number, True)
        was = os.fstat(number)
        yield number, lambda: os.path.samestat(os.fstat(number), was)
        os.close(number)


FOREIGN = ["closed", "a file", "a pipe", "another queue"]


@pytest.mark.parametrize("foreign", FOREIGN, indirect=True)
def test_a_number_that_is_something_else_is_left_alone(foreign):
    number, is_left_alone = foreign
    with TreeQueue(0, maxsize=2) as queue:
        queue.put(4)
        with rebuild(TreeQueue, *queue._handle(), Passed(number)) as other:
            assert is_left_alone()
            assert other.get() == 4
        assert is_left_alone()


def rebuild_on_number(handle):
    """In a process that has no queue at all, with a number that belongs to a file."""
    with open("/proc/self/stat") as file:
        os.set_inheritable(file.fileno(), True)
        with rebuild(TreeQueue, *handle, Passed(file.fileno())) as queue:
            item = queue.get_nowait()
        return item, file.read().startswith(f"{os.getpid()} ")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_wrong_number_does_not_keep_a_process_from_the_queue(nursery, method):
    with TreeQueue(0, maxsize=2) as queue:
        queue.put(8)
        assert nursery.call(method, rebuild_on_number, queue._handle()) == (8, True)


def test_a_descriptor_of_the_queue_that_was_not_passed_on_is_left_alone():
    with TreeQueue(0, maxsize=2) as queue:
        number = os.dup(number_of(queue))
        assert not os.get_inheritable(number)
        rebuild(TreeQueue, *queue._handle(), Passed(number)).close()
        os.fstat(number)
        os.close(number)


def test_a_passed_descriptor_is_used_up_though_the_process_has_the_queue_already():
    with TreeQueue(0, maxsize=2) as queue:
        before = numbers_of_segments()
        number = os.dup(number_of(queue))
        os.set_inheritable(number, True)
        for value in range(3):
            with rebuild(TreeQueue, *queue._handle(), Passed(number)) as other:
                other.put(value)
                assert queue.get() == value
            assert numbers_of_segments() == before


def test_a_handle_for_another_child_of_the_fork_server_is_no_error_here():
    with TreeQueue(0, maxsize=2) as queue:
        with rebuild(TreeQueue, *queue._handle(), popen_forkserver._DupFd(1000)) as other:
            other.put(2)
        assert queue.get() == 2


def numbers_of_segments():
    """The descriptors of this process that lead to queues."""
    links = {number: os.readlink(f"/proc/self/fd/{number}") for number in open_descriptors()}
    return sorted(n for n, link in links.items() if link.startswith("/memfd:treequeues"))


# What else travels, and how far.


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
