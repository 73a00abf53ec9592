"""A queue reaches a process by every way in which Python starts one, and in the pools too."""

import concurrent.futures
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from multiprocessing import Process
from typing import NamedTuple

import numpy as np
import pytest
from helpers import START_METHODS, WATCHDOG_S, marked, open_descriptors, read_mark

from treequeues import ArrayQueue, TreeQueue


class NestedArray(NamedTuple):
    item_1: np.ndarray
    item_2: np.ndarray
    item_3: np.ndarray


def get_nested_array():
    return NestedArray(
        item_1=np.random.random((4,)),
        item_2=np.random.random((1,)),
        item_3=np.random.random((3, 2)),
    )


class ReadProcessMixin:
    """The first README's process: it holds the queue as an attribute and gets what was put."""

    def __init__(self, queue, answers):
        super().__init__()
        self.queue = queue
        self.answers = answers

    def run(self):
        self.answers.send(self.queue.get(timeout=WATCHDOG_S))


class ForkReadProcess(ReadProcessMixin, multiprocessing.get_context("fork").Process):
    pass


class SpawnReadProcess(ReadProcessMixin, multiprocessing.get_context("spawn").Process):
    pass


class ForkServerReadProcess(ReadProcessMixin, multiprocessing.get_context("forkserver").Process):
    pass


class DefaultReadProcess(ReadProcessMixin, Process):
    pass


@pytest.mark.parametrize(
    "process_class",
    [ForkReadProcess, SpawnReadProcess, ForkServerReadProcess, DefaultReadProcess],
)
def test_a_process_subclass_gets_what_the_parent_put(nursery, process_class):
    queue = TreeQueue(nested_array=get_nested_array(), maxsize=10)
    new_nested_array = get_nested_array()
    queue.put(new_nested_array)

    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = process_class(queue, sender)
    process.start()
    assert receiver.poll(WATCHDOG_S)
    got = receiver.recv()
    nursery.finish(process)

    assert type(got) is NestedArray
    for came, went in zip(got, new_nested_array, strict=True):
        assert came.dtype == went.dtype
        np.testing.assert_array_equal(came, went)


SCRIPT = """
import multiprocessing
import sys
from typing import NamedTuple

import numpy as np

from treequeues import TreeQueue


class ReadProcess(multiprocessing.Process):
    def __init__(self, queue):
        super().__init__()
        self.queue = queue

    def run(self):
        print(self.queue.get())


class NestedArray(NamedTuple):
    item_1: np.ndarray
    item_2: np.ndarray
    item_3: np.ndarray


def get_nested_array(start):
    return NestedArray(
        item_1=np.arange(4.0) + start,
        item_2=np.arange(1.0) + start,
        item_3=np.arange(6.0).reshape(3, 2) + start,
    )


if __name__ == "__main__":
    queue = TreeQueue(nested_array=get_nested_array(0), maxsize=10)
    queue.put(get_nested_array(100))

    process = ReadProcess(queue=queue)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_the_first_readmes_example_runs_as_a_script_in_another_directory(tmp_path, method):
    script = tmp_path / "program" / "example.py"
    script.parent.mkdir()
    start = f'if __name__ == "__main__":\n    multiprocessing.set_start_method("{method}")\n'
    script.write_text(SCRIPT.replace('if __name__ == "__main__":\n', start))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ended = subprocess.run(
        [sys.executable, str(script)],
        cwd=elsewhere,
        timeout=WATCHDOG_S,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "NestedArray(item_1=array([100., 101., 102., 103.])" in ended.stdout
    assert "item_2=array([100.])" in ended.stdout


def echo(requests, answers):
    for item in requests:
        answers.put(item)
    answers.shutdown()


def test_two_queues_in_one_process_are_not_confused(nursery, start_method):
    with TreeQueue(marked(0, 0), maxsize=2) as requests, TreeQueue(marked(0, 0), 3) as answers:
        process = nursery.start(start_method, echo, requests, answers)
        for number in range(50):
            requests.put(marked(number, 7), timeout=WATCHDOG_S)
            assert read_mark(answers.get(timeout=WATCHDOG_S)) == (number, 7)
        requests.shutdown()
        assert list(answers) == []
        nursery.finish(process)


def test_the_parent_may_close_right_after_starting_the_child(nursery, start_method):
    requests, answers = TreeQueue(marked(0, 0), maxsize=2), TreeQueue(marked(0, 0), maxsize=2)
    requests.put(marked(1, 1))
    requests.shutdown()
    process = nursery.start(start_method, echo, requests, answers)
    # The child may not even have begun: what it was started with keeps the memory alive.
    requests.close()
    assert read_mark(answers.get(timeout=WATCHDOG_S)) == (1, 1)
    nursery.finish(process)
    answers.close()


# Several objects that lead to one queue.


class Wrapped:
    """Pickles what it holds by a pickler of its own, as wrappers of closures do."""

    def __init__(self, held):
        self.held = held

    def __getstate__(self):
        return pickle.dumps(self.held)

    def __setstate__(self, state):
        self.held = pickle.loads(state)


def queues_in(value):
    """Every queue object in tuples and wrappers, from left to right."""
    if isinstance(value, Wrapped):
        return queues_in(value.held)
    if isinstance(value, tuple):
        return [queue for part in value for queue in queues_in(part)]
    return [value]


def count_segment_descriptors():
    links = [os.readlink(f"/proc/self/fd/{number}") for number in open_descriptors()]
    return sum(link.startswith("/memfd:treequeues") for link in links)


def use_all_queues(argument):
    """Put through every object, close one after another, and say how many descriptors are left."""
    queues = queues_in(argument)
    for number, queue in enumerate(queues):
        queue.put(marked(5, number), timeout=WATCHDOG_S)
    for queue in {id(queue): queue for queue in queues}.values():
        # The objects that were closed before this one have closed themselves alone.
        assert queue.qsize() > 0
        queue.close()
    return len(queues), count_segment_descriptors()


SEVERAL = {
    "twice": lambda queue: (queue, queue),
    "wrapped": lambda queue: (queue, Wrapped(queue)),
    "wrapped first": lambda queue: (Wrapped(queue), queue),
    "wrapped twice": lambda queue: (Wrapped(queue), Wrapped((queue, queue))),
    "copied": lambda queue: (copy.copy(queue), queue),
    "unpickled twice": lambda queue: tuple(pickle.loads(pickle.dumps(queue)) for _ in range(2)),
    "nested": lambda queue: ((queue, (copy.copy(queue),)), (Wrapped(queue), (queue,))),
}
STARTED_ANEW = ("spawn", "forkserver")


@pytest.mark.parametrize("method", STARTED_ANEW)
@pytest.mark.parametrize("several", SEVERAL)
def test_one_queue_may_be_an_argument_several_times(nursery, method, several):
    with TreeQueue(marked(0, 0), maxsize=8) as queue:
        argument = SEVERAL[several](queue)
        count, left = nursery.call(method, use_all_queues, argument)
        assert [read_mark(queue.get_nowait()) for _ in range(count)] == [
            (5, number) for number in range(count)
        ]
        assert queue.empty()
        assert left == 0, "a closed queue keeps no descriptor, or its memory would stay"


@pytest.mark.parametrize("method", STARTED_ANEW)
def test_two_queues_may_be_arguments_several_times(nursery, method):
    with TreeQueue(marked(0, 0), maxsize=8) as one, TreeQueue(marked(0, 0), maxsize=8) as two:
        argument = (one, Wrapped((two, one)), copy.copy(two), one)
        count, left = nursery.call(method, use_all_queues, argument)
        assert (count, left) == (5, 0)
        assert [read_mark(queue.get_nowait())[1] for queue in (one, two, one, two, one)] == [
            0, 1, 2, 3, 4,
        ]  # fmt: skip


class ClosedOnArrival:
    """Uses and closes its queue as soon as it is unpickled, and opens files instead."""

    def __init__(self, queue):
        self.queue = queue

    def __setstate__(self, state):
        queue = state["queue"]
        self.mark = read_mark(queue.get_nowait())
        queue.close()
        # Whatever numbers the queue had, these have them now.
        self.files = [open("/proc/self/stat") for _ in range(8)]  # noqa: SIM115


def use_after_another(arrived, queue):
    mark = read_mark(queue.get_nowait())
    queue.close()
    files_are_well = [file.read().startswith(f"{os.getpid()} ") for file in arrived.files]
    return arrived.mark, mark, files_are_well, count_segment_descriptors()


@pytest.mark.parametrize("method", STARTED_ANEW)
def test_the_first_object_may_be_closed_before_the_second_is_unpickled(nursery, method):
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        queue.put(marked(1, 1))
        queue.put(marked(1, 2))
        arguments = (ClosedOnArrival(queue), copy.copy(queue))
        result = nursery.call(method, use_after_another, *arguments)
        assert result == ((1, 1), (1, 2), [True] * 8, 0)


class PickledOnce(Wrapped):
    """Pickles what it holds at the first start of a process, and sends the same to all others."""

    def __getstate__(self):
        if not isinstance(self.held, bytes):
            self.held = pickle.dumps(self.held)
        return self.held


@pytest.mark.parametrize("method", STARTED_ANEW)
def test_a_handle_made_for_one_process_serves_another_too(nursery, method):
    with TreeQueue(marked(0, 0), maxsize=8) as queue:
        wrapped = PickledOnce(queue)
        for number in range(3):
            count, left = nursery.call(method, use_all_queues, wrapped)
            assert (count, left) == (1, 0)
            assert queue.qsize() == number + 1


@pytest.mark.parametrize("method", STARTED_ANEW)
def test_a_copy_may_be_made_while_the_queue_is_being_pickled(nursery, method):
    with TreeQueue(marked(0, 0), maxsize=8) as queue:
        assert nursery.call(method, use_all_queues, CopiedOnLeaving(queue)) == (1, 0)
        queue.put(marked(2, 2))
        assert [read_mark(queue.get_nowait()) for _ in range(2)] == [(5, 0), (2, 2)]


class CopiedOnLeaving(Wrapped):
    def __getstate__(self):
        return pickle.dumps(copy.copy(self.held))


def forget_queue(queue):
    queue.put(marked(1, 5))


def test_a_child_that_closes_or_not_leaves_the_queue_to_the_others(nursery, start_method):
    with TreeQueue(marked(0, 0), maxsize=4) as queue:
        for number in range(3):
            function = forget_queue if number % 2 else queue.close
            nursery.finish(nursery.start(start_method, function, *([queue] if number % 2 else [])))
            queue.put(marked(2, number))
            assert queue.get(timeout=WATCHDOG_S)
        assert queue.qsize() == 1


def wait_for_shutdown(queue, put):
    """What a call that blocks raises when somebody elsewhere shuts the queue down."""
    try:
        while True:
            if put:
                queue.put(marked(9, 9))
            else:
                queue.get()
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("put", [False, True])
def test_shutdown_reaches_calls_that_block_in_other_processes(
    nursery, start_method, put, immediate
):
    with TreeQueue(marked(0, 0), maxsize=2) as queue:
        asked = [nursery.ask(start_method, wait_for_shutdown, queue, put) for _ in range(2)]
        if put:
            # Room for these says that the children run and have put: a full queue follows.
            for _ in range(4):
                queue.get(timeout=WATCHDOG_S)
        else:
            for number in range(8):
                queue.put(marked(1, number), timeout=WATCHDOG_S)
        queue.shutdown(immediate)
        assert [nursery.answer(one) for one in asked] == ["ShutDown", "ShutDown"]


# Pools.

POOL_QUEUE = None


def use_as_initial_argument(queue):
    global POOL_QUEUE
    POOL_QUEUE = queue


def put_into_pool_queue(number):
    POOL_QUEUE.put(np.full(5, number), timeout=WATCHDOG_S)
    return number


def put_into_given_queue(queue, number):
    queue.put(np.full(5, number), timeout=WATCHDOG_S)
    return number


def assert_holds(queue, numbers):
    got = []
    while len(got) < len(numbers):
        array = queue.get(timeout=WATCHDOG_S)
        assert (array == array[0]).all()
        got.append(int(array[0]))
    assert sorted(got) == sorted(numbers)
    assert queue.empty()


NUMBERS = list(range(40))


def test_a_pool_inherits_the_queue_as_a_global(monkeypatch):
    with ArrayQueue(np.zeros(5, int), maxsize=64) as queue:
        monkeypatch.setitem(globals(), "POOL_QUEUE", queue)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert pool.map_async(put_into_pool_queue, NUMBERS).get(WATCHDOG_S) == NUMBERS
        assert_holds(queue, NUMBERS)


def test_a_pool_takes_the_queue_as_an_initial_argument(start_method):
    with ArrayQueue(np.zeros(5, int), maxsize=64) as queue:
        context = multiprocessing.get_context(start_method)
        with context.Pool(2, use_as_initial_argument, (queue,)) as pool:
            assert pool.map_async(put_into_pool_queue, NUMBERS).get(WATCHDOG_S) == NUMBERS
        assert_holds(queue, NUMBERS)


def test_a_pool_takes_the_queue_with_each_task(start_method):
    # The standard queue refuses this: it pickles while a process is being started and never else.
    with ArrayQueue(np.zeros(5, int), maxsize=64) as queue:
        with multiprocessing.get_context(start_method).Pool(2) as pool:
            tasks = [(queue, number) for number in NUMBERS]
            assert pool.starmap_async(put_into_given_queue, tasks).get(WATCHDOG_S) == NUMBERS
        assert_holds(queue, NUMBERS)


def test_a_process_pool_executor_takes_the_queue_as_an_initial_argument(start_method):
    context = multiprocessing.get_context(start_method)
    with ArrayQueue(np.zeros(5, int), maxsize=64) as queue:
        with concurrent.futures.ProcessPoolExecutor(
            2, context, use_as_initial_argument, (queue,)
        ) as executor:
            assert list(executor.map(put_into_pool_queue, NUMBERS, timeout=WATCHDOG_S)) == NUMBERS
        assert_holds(queue, NUMBERS)


def test_a_process_pool_executor_takes_the_queue_with_each_task(start_method):
    context = multiprocessing.get_context(start_method)
    with ArrayQueue(np.zeros(5, int), maxsize=64) as queue:
        with concurrent.futures.ProcessPoolExecutor(2, context) as executor:
            futures = [executor.submit(put_into_given_queue, queue, n) for n in NUMBERS]
            assert [future.result(WATCHDOG_S) for future in futures] == NUMBERS
        assert_holds(queue, NUMBERS)


INTERACTIVE = textwrap.dedent("""
    import numpy, treequeues
    queue = treequeues.TreeQueue({"a": numpy.zeros(3)}, maxsize=2)
    queue.put({"a": numpy.ones(3)})
    print(queue.get()["a"].tolist(), treequeues.__version__)
""")


def test_the_package_works_from_any_directory(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", INTERACTIVE],
        cwd=tmp_path,
        timeout=WATCHDOG_S,
        capture_output=True,
        text=True,
    )
    assert ended.stdout.startswith("[1.0, 1.0, 1.0] "), ended.stderr
