"""Processes stopped in the middle of giving an item back, of a sweep, and of everything else.

The others must find every item that is not held, and all capacity but what is held, wherever the
stopped one stands. And a sweeper that wakes up late must not touch who has the place of the dead by
then.
"""

import contextlib
import os
import pickle
import signal
import struct
from queue import Empty, Full

import pytest
from helpers import WATCHDOG_S, in_forked_child, reap, wait_until
from stepping import Segment, Stepped

from treequeues import TreeQueue

CAPACITY = 3

# Stops of a stale sweeper, and instructions between them: beyond all that its sweep does.
STALE_STOPS = 25
STALE_STRIDE = 24


@pytest.fixture
def queue():
    with TreeQueue(0, maxsize=CAPACITY, participants=4) as queue:
        queue.put(0)
        queue.get()
        yield queue


def take_all(queue):
    items = []
    while True:
        try:
            items.append(queue.get_nowait())
        except Empty:
            return items


def fill(queue, first):
    """Put numbers from `first` on until the queue is full; those that went in."""
    number = first
    while True:
        try:
            queue.put_nowait(number)
        except Full:
            return list(range(first, number))
        number += 1


def see_the_others_go_on(queue, stepped, own, count):
    """At each stop, put and get all that can be put and got; what came that is not of these puts.

    own: the items that were in the queue when it all began.
    count: how many slots the stopped process may hold at most.
    """
    segment = Segment(queue)
    came, expected, first, stops = [], own, 1000, 0
    for _ in stepped.changes(segment):
        stops += 1
        got = take_all(queue)
        # All that nobody holds, in order, and beside them at most what comes back.
        assert [item for item in got if item in expected] == expected
        came += [item for item in got if item not in expected]
        expected = fill(queue, first)
        assert CAPACITY - count <= len(expected) <= CAPACITY
        first += CAPACITY
    assert stops > 2, "nothing of the operation was seen"
    came += [item for item in take_all(queue) if item not in expected]
    return came


def assert_capacity(queue):
    assert fill(queue, 0) == list(range(CAPACITY))
    assert take_all(queue) == list(range(CAPACITY))


def begin_batch(queue):
    loan = queue.reserve_batch(2)
    loan.tree[...] = 8, 9
    return loan


def begin_put(queue):
    loan = queue.reserve()
    loan.tree[...] = 9
    return loan


# What is put first, how the operation begins, how it ends, what the others find meanwhile, and what
# comes of it.
OPERATIONS = {
    "give back": ([1, 2], TreeQueue.borrow, "give_back", [2], [1]),
    "release": ([1, 2], TreeQueue.borrow, "release", [2], []),
    "commit": ([1, 2], begin_put, "commit", [1, 2], [9]),
    "abort": ([1, 2], begin_put, "abort", [1, 2], []),
    "give back a batch": ([1, 2, 3], lambda q: q.borrow_batch(2), "give_back", [3], [1, 2]),
    "commit a batch": ([], begin_batch, "commit", [], [8, 9]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_others_find_all_that_is_not_held_wherever_somebody_is_stopped(queue, operation):
    items, begin, end, left, comes = OPERATIONS[operation]
    for item in items:
        queue.put(item)
    held = 2 if "batch" in operation else 1
    with Stepped(lambda: begin(queue), lambda loan: getattr(loan, end)()) as stopped:
        assert see_the_others_go_on(queue, stopped, left, held) == comes
    assert_capacity(queue)


def test_others_find_all_that_is_not_held_wherever_a_sweeper_is_stopped(queue):
    took, taken = os.pipe()

    def die_holding():
        loans = queue.borrow(), queue.reserve()
        os.kill(os.getpid(), signal.SIGKILL)
        del loans

    def get_one(_):
        # Finds nothing, so it looks for the dead; then it may have theirs, or what others put.
        with contextlib.suppress(Empty):
            os.write(taken, struct.pack("q", queue.get_nowait()))

    with Stepped(lambda: queue.qsize(), get_one) as sweeper:
        queue.put(1)
        assert os.waitstatus_to_exitcode(os.waitpid(in_forked_child(die_holding), 0)[1]) == -9
        sweeper.run_until_it_asked_for_the_lock_of(2)
        segment, expected, came, missing = Segment(queue), [], [], []
        for stop, _ in enumerate(sweeper.changes(segment)):
            got = take_all(queue)
            came += [item for item in got if item not in expected]
            missing += [item for item in expected if item not in got]
            # In order, and all but the one that the sweeper is taking.
            assert [item for item in expected if item in got] == [i for i in got if i in expected]
            assert len(missing) <= 1
            expected = fill(queue, 1000 + stop * CAPACITY)
            # The dead one's two slots, until they are returned, or the sweeper's own.
            assert len(expected) >= CAPACITY - 2
        # A sweep of this process finds what is left of the dead at the latest now.
        assert len(expected) >= CAPACITY - 1
        assert stop > 3, "nothing of the sweep was seen"
    os.close(taken)
    with open(took, "rb") as pipe:
        of_the_sweeper = [item for (item,) in struct.iter_unpack("q", pipe.read())]
    came += [item for item in take_all(queue) if item not in expected]
    assert sorted(came + of_the_sweeper) == sorted([1, *missing])
    assert_capacity(queue)


# A sweeper that wakes up late.


def places(queue):
    """Who has which place, by pids."""
    return {participant.id: participant.pid for participant in queue.stats().by_participant}


@pytest.mark.parametrize(
    ("participants", "generations", "stops"),
    [
        pytest.param(4, 1, STALE_STOPS, id="the next tenant"),
        # So many places leave 9 bits of a word for the generation: this tenant's words look like
        # those of the dead one.
        pytest.param(4096, 512, 2, id="a tenant that looks the same"),
    ],
)
def test_a_sweeper_that_wakes_up_late_takes_nothing_from_the_next_tenant(
    participants, generations, stops
):
    for stop in range(stops):
        with TreeQueue(0, maxsize=2, participants=participants) as queue:
            be_late(queue, stop * STALE_STRIDE, generations)


def be_late(queue, instructions, generations):
    """Wake a sweeper up so many instructions after it has seen that its victim is dead."""
    handle = pickle.dumps(queue)
    ready, tell = os.pipe()
    end, go = os.pipe()

    def hold():
        loan = queue.reserve()
        os.write(tell, b".")
        signal.pause()
        del loan

    def move_in():
        # One tenant after the other in this place; the last one stays.
        for _ in range(generations - 1):
            pickle.loads(handle).close()
        with queue.reserve() as loan:
            loan.tree[...] = 7
            os.write(tell, b".")
            os.read(end, 1)

    def sweep(_):
        with pytest.raises(Empty):
            queue.get_nowait()

    victim = in_forked_child(hold)
    assert os.read(ready, 1) == b"."
    assert places(queue)[1] == victim
    with Stepped(lambda: queue.qsize(), sweep) as sweeper:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        sweeper.run_until_it_asked_for_the_lock_of(1)
        sweeper.step(instructions)
        # Somebody else is faster: it sweeps, and the place gets its next tenant.
        tenant = in_forked_child(move_in)
        assert os.read(ready, 1) == b"."
        assert places(queue)[1] == tenant
        sweeper.let_go()
        wait_until(lambda: sweeper.is_done, "the sweeper ends")
        # The place is still the tenant's, and so is its slot.
        assert places(queue)[1] == tenant
        queue.put_nowait(1)
        with pytest.raises(Full):
            queue.put_nowait(2)
        os.write(go, b".")
        reap(tenant)
        assert sorted(queue.get(timeout=WATCHDOG_S) for _ in range(2)) == [1, 7]
    for descriptor in (ready, tell, end, go):
        os.close(descriptor)
