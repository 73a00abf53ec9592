"""Items that kill whoever takes them, between real processes that are killed.

P1. An item that has killed `max_deliveries` takers is dropped by the next one, wherever that is,
    and handed to what that process has as `on_drop`.
P2. The others come all the while, each once and in order, and all capacity is there afterwards.
"""

import multiprocessing
import os
import signal
import time
from queue import Empty

import numpy as np
import pytest
from helpers import WATCHDOG_S, marked, read_mark, wait_until

from treequeues import ArrayQueue, ShutDown, TreeQueue

MAX_DELIVERIES = 3
MAXSIZE = 6

# The number that kills.
POISON = 2


def make_queue(on_drop=None, max_deliveries=MAX_DELIVERIES):
    return TreeQueue(marked(0, 0), MAXSIZE, max_deliveries=max_deliveries, on_drop=on_drop)


def put(queue, numbers):
    for number in numbers:
        queue.put(marked(1, number), timeout=WATCHDOG_S)


def number_of(tree):
    return read_mark(tree)[1]


def die():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(WATCHDOG_S)


# What takers do with an item, or several, and at whose sight they die.


def take_by_borrow(queue):
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        number = number_of(loan.tree)
        if number == POISON:
            die()
    return [number]


def take_by_borrow_batch(queue):
    with queue.borrow_batch(2, min=1, timeout=WATCHDOG_S) as loan:
        numbers = loan.tree["nested"]["sequence"][:, 0].tolist()
        if POISON in numbers:
            die()
    return numbers


def consume(queue, take, answers):
    """Take and tell until shut down."""
    while True:
        try:
            taken = take(queue)
        except ShutDown:
            return
        answers.send(taken)


class Notes:
    """What these processes have as `on_drop`: it travels to any process, and writes to one file."""

    def __init__(self, path):
        self.path = path

    def __call__(self, tree, info):
        with open(self.path, "a") as file:
            file.write(f"{number_of(tree)} {info.delivery_count} {os.getpid()}\n")

    def read(self):
        """Number, deliveries and process of each item that was handed over."""
        return [tuple(map(int, line.split())) for line in self.path.read_text().splitlines()]


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes"
    path.touch()
    return Notes(path)


def restart_until_drained(nursery, method, queue, take, count):
    """Start takers one after the other, as a supervisor would, until `count` items have come."""
    taken, deaths = [], 0
    while len(taken) < count:
        here, there = multiprocessing.get_context(method).Pipe(duplex=False)
        process = nursery.start(method, consume, queue, take, there)
        there.close()
        while len(taken) < count:
            assert here.poll(WATCHDOG_S), f"nothing more came after {taken}"
            try:
                taken += here.recv()
            except EOFError:
                break
        else:
            queue.shutdown()
            nursery.finish(process)
            break
        process.join(WATCHDOG_S)
        assert process.exitcode == -signal.SIGKILL
        deaths += 1
        assert deaths <= MAX_DELIVERIES, "it goes on killing"
        here.close()
    return taken, deaths


def assert_capacity(queue):
    """Every slot can be filled and emptied: by a look, since the queue may be shut down."""
    stats = queue.stats()
    assert (stats.free, stats.qsize, stats.reading) == (MAXSIZE, 0, 0)


@pytest.mark.parametrize("take", [take_by_borrow, take_by_borrow_batch])
def test_takers_that_are_started_again_get_past_an_item_that_kills(
    nursery, start_method, notes, take
):
    queue = make_queue(notes)
    # In a batch, the one behind it shares its fate.
    numbers = [0, 1, POISON, 3, 4] if take is take_by_borrow else [POISON, 3, 4, 5]
    put(queue, numbers)
    expected = [number for number in numbers if number != POISON]
    if take is take_by_borrow_batch:
        expected = expected[1:]
    taken, deaths = restart_until_drained(nursery, start_method, queue, take, len(expected))
    assert (taken, deaths) == (expected, MAX_DELIVERIES)
    dropped = [POISON] if take is take_by_borrow else [POISON, 3]
    told = [(number, deliveries) for number, deliveries, _ in notes.read()]
    assert told == [(number, MAX_DELIVERIES + 1) for number in dropped]
    assert queue.stats().counters.dropped == len(dropped)
    assert_capacity(queue)


def test_it_is_handed_over_by_the_process_that_finds_it(nursery, start_method, notes):
    queue = make_queue(notes, max_deliveries=1)
    put(queue, [POISON, 0])
    process = nursery.start(start_method, take_by_borrow, queue)
    nursery.finish(process, -signal.SIGKILL)
    wait_until_found(queue)
    number, pid = nursery.call(start_method, get_and_tell, queue)
    assert (number, notes.read()) == (0, [(POISON, 2, pid)])


def get_and_tell(queue):
    return number_of(queue.get(timeout=WATCHDOG_S)), os.getpid()


def wait_until_found(queue):
    """Let the dead be found, by a call that comes in vain: for more than there is."""

    def is_back():
        with pytest.raises(Empty):
            queue.get_batch(MAXSIZE, block=False)
        return queue.stats().reading == 0

    wait_until(is_back, "the dead are found")


def test_a_second_queue_gets_it_wherever_it_is_found(nursery, start_method):
    second = TreeQueue(marked(0, 0), 2)
    queue = make_queue(second)
    put(queue, [POISON, 0, 1])
    taken, deaths = restart_until_drained(nursery, start_method, queue, take_by_borrow, 2)
    assert (taken, deaths) == ([0, 1], MAX_DELIVERIES)
    # The process that put it there is gone.
    assert number_of(second.get(timeout=WATCHDOG_S)) == POISON
    assert second.qsize() == 0
    assert_capacity(queue)


def test_one_that_kills_in_on_drop_too_is_dropped_in_the_end(nursery):
    queue = make_queue(lambda tree, info: die())
    put(queue, [POISON, 0])
    deaths = 0
    while queue.stats().counters.dropped == 0:
        process = nursery.start("fork", take_by_borrow, queue)
        process.join(WATCHDOG_S)
        deaths += process.exitcode == -signal.SIGKILL
        assert deaths <= MAX_DELIVERIES + 1, "it kills for ever"
    assert deaths == MAX_DELIVERIES + 1
    assert_capacity(queue)


def test_a_waiting_producer_gets_the_slot(nursery):
    queue = make_queue(max_deliveries=1)
    put(queue, [POISON, *range(10, 10 + MAXSIZE - 1)])
    nursery.finish(nursery.start("fork", take_by_borrow, queue), -signal.SIGKILL)
    producer = nursery.ask("fork", put, queue, [99])
    wait_until(lambda: queue.stats().counters.put_waits > 0, "the producer waits")
    wait_until(lambda: queue.stats().reading == 0, "the producer has found the dead one")
    assert queue.stats().free == 0
    with queue.borrow() as loan:
        assert number_of(loan.tree) == 10
        # Only the slot of the item that was dropped on the way is free.
        nursery.answer(producer)
    numbers = [number_of(queue.get(timeout=WATCHDOG_S)) for _ in range(MAXSIZE - 1)]
    assert numbers == [*range(11, 10 + MAXSIZE - 1), 99]
    assert queue.stats().counters.dropped == 1


def test_a_consumer_that_waits_goes_on_waiting_past_it(nursery):
    queue = make_queue(max_deliveries=1)
    put(queue, [POISON])
    nursery.finish(nursery.start("fork", take_by_borrow, queue), -signal.SIGKILL)
    consumer = nursery.ask("fork", get_and_tell, queue)
    wait_until(lambda: queue.stats().counters.dropped == 1, "it is dropped")
    put(queue, [7])
    assert nursery.answer(consumer)[0] == 7


def give_back_often(queue, times):
    for _ in range(times):
        queue.borrow(timeout=WATCHDOG_S).give_back()


def test_giving_back_from_many_processes_never_drops(nursery, start_method):
    queue = make_queue(max_deliveries=1)
    put(queue, [0])
    asked = [nursery.ask(start_method, give_back_often, queue, 200) for _ in range(3)]
    for one in asked:
        nursery.answer(one)
    stats = queue.stats()
    assert (stats.counters.give_backs, stats.counters.dropped, stats.most_deaths) == (600, 0, 0)
    assert number_of(queue.get(timeout=WATCHDOG_S)) == 0


def take_until_shut_down(queue, answers):
    """Dies of every tenth item, in a loan; takes the others."""
    while True:
        try:
            with queue.borrow(timeout=WATCHDOG_S) as loan:
                number = int(loan.tree[0])
                if number % 10 == 9:
                    die()
        except ShutDown:
            return
        answers.put(np.array([number]))


def test_a_crowd_of_takers_gets_past_many_of_them(nursery):
    total, max_deliveries = 60, 2
    dropped, taken = ArrayQueue(np.zeros(1, np.int64), total), ArrayQueue(np.zeros(1, np.int64), 99)
    queue = ArrayQueue(np.zeros(1, np.int64), total, max_deliveries=max_deliveries, on_drop=dropped)
    for number in range(total):
        queue.put(np.array([number]))
    queue.shutdown()
    takers = [nursery.start("fork", take_until_shut_down, queue, taken) for _ in range(3)]
    deaths = 0
    while takers:
        taker = takers.pop()
        taker.join(WATCHDOG_S)
        if taker.exitcode:
            assert taker.exitcode == -signal.SIGKILL
            deaths += 1
            takers.insert(0, nursery.start("fork", take_until_shut_down, queue, taken))
    bad = [number for number in range(total) if number % 10 == 9]
    assert deaths == max_deliveries * len(bad)
    numbers = [int(array[0]) for array in taken.get_many(99, block=False)]
    assert sorted(numbers) == [number for number in range(total) if number not in bad]
    assert sorted(int(array[0]) for array in dropped.get_many(99, block=False)) == bad
    assert queue.stats().counters.dropped == len(bad)
