"""Participants in several pid namespaces, as containers that share a segment have them.

Pids there are other processes' pids here, and the same pid is several processes'. Who lives is said
by locks, which know no namespaces.
"""

import os
import signal
import subprocess
import sys
from queue import Full

import pytest
from helpers import WATCHDOG_S, Passed, Worker, drain, in_forked_child, reap
from namespaces import PIDS, in_namespaces

from treequeues import TreeQueue
from treequeues._pickling import rebuild

CAPACITY = 4


@pytest.fixture(params=["by its name", "by an inherited descriptor"])
def queue(request, queue_folder):
    named = {"name": "shared"} if request.param == "by its name" else {}
    with TreeQueue(0, maxsize=CAPACITY, **named) as queue:
        queue.put(0)
        assert queue.get() == 0
        yield queue


def opened_there(queue):
    """The queue in a process of another namespace: found by its name, or as it was inherited."""
    return queue if queue.name is None else TreeQueue.attach(queue.name)


def as_the_first_process(function):
    """Do `function()` as pid 1 of a new namespace; the pid of its parent, and a pipe that tells its
    own pid here."""
    receiver, sender = os.pipe()

    def be_its_parent():
        pid = in_forked_child(function)
        os.write(sender, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), code

    parent = in_namespaces(PIDS, be_its_parent)
    os.close(sender)
    with open(receiver) as pipe:
        return parent, int(pipe.readline())


def put_until_full(queue):
    count = 0
    while True:
        try:
            queue.put_nowait(count)
        except Full:
            return count
        count += 1


def assert_capacity(queue):
    assert put_until_full(queue) == CAPACITY
    assert drain(queue, 0.2) == list(range(CAPACITY))


def test_items_go_into_another_namespace_and_come_back(queue):
    ready, tell = os.pipe()

    def take_and_put():
        assert os.getpid() == 1
        there = opened_there(queue)
        assert [there.get(timeout=WATCHDOG_S) for _ in range(50)] == list(range(50))
        os.write(tell, b".")
        for number in range(50):
            there.put(-number, timeout=WATCHDOG_S)

    parent, _ = as_the_first_process(take_and_put)
    for number in range(50):
        queue.put(number, timeout=WATCHDOG_S)
    assert os.read(ready, 1) == b"."
    for number in range(50):
        item, info = queue.get(timeout=WATCHDOG_S, info=True)
        # A pid is for people, and is what its process takes for it.
        assert (item, info.producer_pid) == (-number, 1)
    reap(parent)
    assert_capacity(queue)


def hold_two_and_wait(queue, tell):
    """Hold an item and a slot until killed."""
    loans = queue.borrow(timeout=WATCHDOG_S), queue.reserve(timeout=WATCHDOG_S)
    os.write(tell, b".")
    signal.pause()
    del loans


def test_who_is_killed_inside_is_found_dead_from_outside(queue):
    ready, tell = os.pipe()
    queue.put(7)
    parent, pid = as_the_first_process(lambda: hold_two_and_wait(opened_there(queue), tell))
    assert os.read(ready, 1) == b"."
    assert queue.stats().participants == 2
    # All but what is held there.
    assert put_until_full(queue) == CAPACITY - 2
    waiter = Worker(lambda: queue.put(99, timeout=WATCHDOG_S))
    # Nobody is dead yet, whatever pids there are.
    assert queue.stats().participants == 2
    os.kill(pid, signal.SIGKILL)
    waiter.join()
    reap(parent)
    # The item of the dead first.
    assert drain(queue, 0.2) == [7, *range(CAPACITY - 2), 99]
    assert queue.stats().participants == 1
    assert_capacity(queue)


def test_who_is_killed_outside_is_found_dead_from_inside(queue):
    ready, tell = os.pipe()
    queue.put(7)
    victim = in_forked_child(lambda: hold_two_and_wait(queue, tell))
    assert os.read(ready, 1) == b"."

    def take_what_the_dead_held():
        there = opened_there(queue)
        assert there.qsize() == 0
        os.write(tell, b".")
        assert there.get(timeout=WATCHDOG_S) == 7
        assert put_until_full(there) == CAPACITY

    parent, _ = as_the_first_process(take_what_the_dead_held)
    assert os.read(ready, 1) == b"."
    assert queue.stats().participants == 3
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    reap(parent)
    assert drain(queue, 0.2) == list(range(CAPACITY))


def test_first_processes_of_two_namespaces_are_two_participants(queue):
    """Both are pid 1 to themselves; the death of one is not that of the other."""
    ready, tell = os.pipe()
    queue.put(1)
    queue.put(2)
    first = as_the_first_process(lambda: hold_two_and_wait(opened_there(queue), tell))
    assert os.read(ready, 1) == b"."
    second = as_the_first_process(lambda: hold_two_and_wait(opened_there(queue), tell))
    assert os.read(ready, 1) == b"."
    assert queue.stats().participants == 3
    os.kill(first[1], signal.SIGKILL)
    reap(first[0])
    assert queue.get(timeout=WATCHDOG_S) == 1
    assert put_until_full(queue) == CAPACITY - 2
    os.kill(second[1], signal.SIGKILL)
    reap(second[0])
    # What was put meanwhile is there at once, and needs no look for the dead.
    assert sorted(drain(queue, 0.2)) == [0, 1, 2]
    assert_capacity(queue)


def test_the_end_of_a_namespace_ends_all_that_was_held_in_it(queue):
    """Its first process dies, and the kernel kills the others."""
    ready, tell = os.pipe()
    queue.put(7)

    def have_children():
        in_forked_child(lambda: hold_two_and_wait(opened_there(queue), tell))
        signal.pause()

    parent, pid = as_the_first_process(have_children)
    assert os.read(ready, 1) == b"."
    os.kill(pid, signal.SIGKILL)
    reap(parent)
    assert queue.get(timeout=WATCHDOG_S) == 7
    assert_capacity(queue)


def take_by(handle, number):
    """Get an item by a handle from another namespace, and the descriptor passed with it."""
    with rebuild(TreeQueue, *handle, Passed(number)) as queue:
        print(os.getpid(), queue.get(timeout=WATCHDOG_S))


def test_a_program_in_another_namespace_attaches_by_the_descriptor_that_it_was_started_with():
    with TreeQueue(0, maxsize=2) as queue:
        queue.put(5)
        number = os.dup(queue._handle()[1])
        os.set_inheritable(number, True)
        code = f"from test_pid_namespaces import take_by; take_by({queue._handle()!r}, {number})"
        path = [os.path.dirname(__file__), *sys.path]

        def start_it():
            ended = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                timeout=WATCHDOG_S,
                pass_fds=[number],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            )
            assert (ended.stdout, ended.stderr) == ("1 5\n", "")

        reap(in_namespaces(PIDS, start_it))
        os.close(number)
        # Whoever leaves leaves nothing.
        assert queue.stats().participants == 1
