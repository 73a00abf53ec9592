"""put_many and get_many, the end of a queue of batches, and all ways in and out beside a deque."""

import collections
import contextlib
import os
import time
from queue import Empty, Full

import pytest
from batch_cases import everything, make_item, make_stacked, number_of, numbers_of
from helpers import WATCHDOG_S, Worker, drain, wait_until_asleep
from tree_cases import assert_same_tree

from treequeues import SchemaError, ShutDown, TreeQueue

# Long enough for a thread to block on a loaded machine; a test of one that did not proves less.
SHORT_S = 0.1

MAXSIZE = 5


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


def put(queue, numbers):
    for number in numbers:
        queue.put(make_item(number), timeout=WATCHDOG_S)


def get_numbers(queue):
    return [number_of(item) for item in drain(queue, 0)]


def assert_untouched(queue, numbers):
    numbers = list(numbers)
    assert queue.stats().free == queue.maxsize - len(numbers)
    assert get_numbers(queue) == numbers


# Lists.


def test_lists_of_trees_go_in_and_come_out_as_they_are():
    items = [everything(number) for number in range(1, 4)]
    with TreeQueue(everything(0), maxsize=4) as queue:
        for _ in range(5):
            assert queue.put_many(items) is None
            got = queue.get_many(4)
            assert type(got) is list
            for came, went in zip(got, items, strict=True):
                assert_same_tree(came, went)


def test_put_many_takes_any_iterable(queue):
    queue.put_many(make_item(number) for number in range(2))
    queue.put_many((make_item(2), make_item(3)))
    queue.put_many({4: make_item(4)}.values())
    assert get_numbers(queue) == [0, 1, 2, 3, 4]


def test_nothing_to_put_puts_nothing(queue):
    put(queue, range(MAXSIZE))
    queue.put_many([])
    assert_untouched(queue, range(MAXSIZE))


def test_a_tree_that_does_not_fit_among_many_keeps_all_of_them_out(queue):
    put(queue, [7])
    bad = make_item(2)
    bad["frame"] = bad["frame"][1:]
    with pytest.raises(SchemaError, match=r"frame: expected uint16 \(3, 5\)"):
        queue.put_many([make_item(0), make_item(1), bad])
    assert_untouched(queue, [7])


def test_what_the_iterable_raises_comes_out_and_nothing_is_put(queue):
    def items():
        yield make_item(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        queue.put_many(items())
    with pytest.raises(TypeError):
        queue.put_many(7)
    assert_untouched(queue, [])


def test_more_than_the_queue_can_hold_are_refused_at_once(queue):
    with pytest.raises(ValueError, match=str(MAXSIZE)):
        queue.put_many([make_item(0)] * (MAXSIZE + 1))
    assert_untouched(queue, [])


@pytest.mark.parametrize("waiting", [{"block": False}, {"timeout": 0}, {"timeout": SHORT_S}])
def test_where_not_all_find_room_none_is_put(queue, waiting):
    put(queue, range(3))
    for _ in range(5):
        with pytest.raises(Full):
            queue.put_many([make_item(8), make_item(8), make_item(8)], **waiting)
    assert_untouched(queue, range(3))


def test_put_many_waits_until_all_find_room(queue):
    put(queue, range(3))
    worker = Worker(queue.put_many, [make_item(number) for number in (10, 11, 12)])
    wait_until_asleep(os.getpid(), worker.native_id)
    assert queue.qsize() == 3 and queue.stats().writing == 0
    assert number_of(queue.get()) == 0
    worker.join()
    assert get_numbers(queue) == [1, 2, 10, 11, 12]


def test_get_many_takes_what_is_there_up_to_so_many(queue):
    put(queue, range(4))
    assert list(map(number_of, queue.get_many(3))) == [0, 1, 2]
    assert list(map(number_of, queue.get_many(3))) == [3]
    put(queue, range(MAXSIZE))
    # There is no harm in asking for more than there can be.
    assert list(map(number_of, queue.get_many(1000))) == list(range(MAXSIZE))


def test_get_many_waits_for_the_first_and_for_no_more(queue):
    worker = Worker(queue.get_many, 3)
    wait_until_asleep(os.getpid(), worker.native_id)
    put(queue, [1])
    assert list(map(number_of, worker.join())) == [1]
    for waiting in ({"block": False}, {"timeout": 0}, {"timeout": SHORT_S}):
        with pytest.raises(Empty):
            queue.get_many(3, **waiting)


@pytest.mark.parametrize("max_items", [0, -1])
def test_get_many_of_less_than_one_is_refused(queue, max_items):
    put(queue, range(3))
    with pytest.raises(ValueError):
        queue.get_many(max_items)
    assert_untouched(queue, range(3))


# Shutdown and close.


def test_a_batch_larger_than_what_a_shutdown_left_is_reported_and_the_rest_can_be_had(queue):
    put(queue, range(3))
    queue.shutdown()
    for _ in range(3):
        for waiting in ({}, {"block": False}, {"timeout": WATCHDOG_S}):
            with pytest.raises(ShutDown):
                queue.get_batch(4, **waiting)
            with pytest.raises(ShutDown):
                queue.borrow_batch(4, min=4, **waiting)
    assert numbers_of(queue.get_batch(2)) == [0, 1]
    with pytest.raises(ShutDown):
        queue.get_batch(2)
    assert numbers_of(queue.get_batch(2, min=1)) == [2]
    for call in (queue.get_batch, queue.borrow_batch, queue.get_many):
        with pytest.raises(ShutDown):
            call(1)


def test_get_many_and_min_drain_a_queue_that_was_shut_down(queue):
    put(queue, range(5))
    queue.shutdown()
    assert list(map(number_of, queue.get_many(2))) == [0, 1]
    with queue.borrow_batch(5, min=1) as loan:
        taken = numbers_of(loan.tree)
    rest = numbers_of(queue.get_batch(5, min=1)) if len(taken) < 3 else []
    assert taken + rest == [2, 3, 4]


def test_shutdown_wakes_a_batch_that_waits_and_leaves_what_is_there(queue):
    put(queue, range(2))
    workers = [Worker(queue.get_batch, 3), Worker(queue.borrow_batch, 4)]
    for worker in workers:
        wait_until_asleep(os.getpid(), worker.native_id)
    queue.shutdown()
    for worker in workers:
        with pytest.raises(ShutDown):
            worker.join()
    assert get_numbers_until_shut_down(queue) == [0, 1]


def get_numbers_until_shut_down(queue):
    return [number_of(item) for item in queue]


def test_shutdown_wakes_puts_that_wait_and_their_items_are_not_in_the_queue(queue):
    put(queue, range(3))
    workers = [
        Worker(queue.put_batch, make_stacked([90] * 3)),
        Worker(queue.put_many, [make_item(91)] * 3),
        Worker(queue.reserve_batch, 3),
    ]
    for worker in workers:
        wait_until_asleep(os.getpid(), worker.native_id)
    queue.shutdown()
    for worker in workers:
        with pytest.raises(ShutDown):
            worker.join()
    with pytest.raises(ShutDown):
        queue.put_batch(make_stacked([92]))
    with pytest.raises(ShutDown):
        queue.put_many([make_item(92)])
    assert get_numbers_until_shut_down(queue) == [0, 1, 2]


def test_a_drain_waits_for_items_that_may_come_back(queue):
    put(queue, range(3))
    held = queue.borrow()
    queue.shutdown()
    worker = Worker(queue.get_batch, 3)
    time.sleep(SHORT_S)
    held.give_back()
    assert numbers_of(worker.join()) == [0, 1, 2]


def test_an_immediate_shutdown_leaves_no_batch(queue):
    put(queue, range(3))
    queue.shutdown(immediate=True)
    for call in (queue.get_batch, queue.borrow_batch, queue.get_many):
        with pytest.raises(ShutDown):
            call(1)


CALLS = {
    "get_batch": lambda queue: queue.get_batch(MAXSIZE),
    "borrow_batch": lambda queue: queue.borrow_batch(MAXSIZE),
    "get_many": lambda queue: queue.get_many(MAXSIZE),
    "put_batch": lambda queue: queue.put_batch(make_stacked(range(MAXSIZE))),
    "put_many": lambda queue: queue.put_many([make_item(0)] * MAXSIZE),
    "reserve_batch": lambda queue: queue.reserve_batch(MAXSIZE),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_closing_ends_a_batch_of_another_thread_that_waits(queue, call):
    if call not in (CALLS["get_many"],):
        put(queue, range(2))
    worker = Worker(call, queue)
    wait_until_asleep(os.getpid(), worker.native_id)
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        worker.join()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_closed_queue_makes_no_batches(queue, call):
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        call(queue)


# All ways in and out.


class Model:
    """A queue beside a deque: each method does something at random to both, and compares."""

    def __init__(self, queue, rng):
        self.queue, self.rng, self.oracle, self.sent = queue, rng, collections.deque(), 0

    def next_numbers(self, n):
        return range(self.sent, self.sent + n)

    def has_put(self, n):
        self.oracle.extend(self.next_numbers(n))
        self.sent += n

    def take(self, n):
        return [self.oracle.popleft() for _ in range(n)]

    @contextlib.contextmanager
    def expecting(self, fits, otherwise):
        if fits:
            yield
        else:
            with pytest.raises(otherwise):
                yield

    def room(self):
        return self.queue.maxsize - len(self.oracle)

    def put(self, n):
        with self.expecting(self.room() >= 1, Full):
            self.queue.put(make_item(self.sent), block=False)
            self.has_put(1)

    def put_batch(self, n):
        with self.expecting(n <= self.room(), Full):
            self.queue.put_batch(make_stacked(self.next_numbers(n)), block=False)
            self.has_put(n)

    def put_many(self, n):
        with self.expecting(n <= self.room(), Full):
            self.queue.put_many(map(make_item, self.next_numbers(n)), block=False)
            self.has_put(n)

    def reserve_batch(self, n):
        least = self.rng.choice([None, 1])
        with (
            self.expecting((least or n) <= self.room(), Full),
            self.queue.reserve_batch(n, least, block=False) as loan,
        ):
            assert 1 <= len(loan) <= n
            loan.write(make_stacked(self.next_numbers(len(loan))))
            if self.rng.random() < 0.3:
                loan.abort()
            else:
                self.has_put(len(loan))

    def get(self, n):
        with self.expecting(self.oracle, Empty):
            assert [number_of(self.queue.get(block=False))] == self.take(1)

    def get_batch(self, n):
        with self.expecting(n <= len(self.oracle), Empty):
            assert numbers_of(self.queue.get_batch(n, block=False)) == self.take(n)

    def get_some(self, n):
        with self.expecting(self.oracle, Empty):
            batch = self.queue.get_batch(n, min=1, block=False)
            assert numbers_of(batch) == self.take(min(n, len(self.oracle)))

    def get_many(self, n):
        with self.expecting(self.oracle, Empty):
            got = self.queue.get_many(n, block=False)
            assert list(map(number_of, got)) == self.take(min(n, len(self.oracle)))

    def borrow_batch(self, n):
        least = self.rng.choice([None, 1])
        with (
            self.expecting((least or n) <= len(self.oracle), Empty),
            self.queue.borrow_batch(n, least, block=False) as loan,
        ):
            assert 1 <= len(loan) <= n
            assert numbers_of(loan.tree) == list(self.oracle)[: len(loan)]
            if self.rng.random() < 0.3:
                loan.give_back()
            else:
                self.take(len(loan))


STEPS = (
    Model.put,
    Model.put_batch,
    Model.put_many,
    Model.reserve_batch,
    Model.get,
    Model.get_batch,
    Model.get_some,
    Model.get_many,
    Model.borrow_batch,
)


@pytest.mark.parametrize("maxsize", [1, 2, 3, 7])
def test_random_calls_of_all_kinds_do_as_a_deque_does(rng, maxsize):
    with TreeQueue(make_item(0), maxsize=maxsize) as queue:
        model = Model(queue, rng)
        for _ in range(2000):
            rng.choice(STEPS)(model, rng.randrange(1, maxsize + 1))
            assert queue.qsize() == len(model.oracle)
            assert queue.stats().free == maxsize - len(model.oracle)
        assert get_numbers(queue) == list(model.oracle)


def test_random_batches_go_round_a_slot_that_is_held(rng):
    for take in ("reserve", "borrow"):
        with TreeQueue(make_item(0), maxsize=5) as queue:
            if take == "borrow":
                put(queue, [0])
            held = getattr(queue, take)()
            oracle, sent = collections.deque(), 1
            for _ in range(1000):
                n = rng.randrange(1, 5)
                if len(oracle) + n <= 4:
                    queue.put_batch(make_stacked(range(sent, sent + n)), block=False)
                    oracle.extend(range(sent, sent + n))
                    sent += n
                elif n <= len(oracle):
                    assert numbers_of(queue.get_batch(n, block=False)) == [
                        oracle.popleft() for _ in range(n)
                    ]
            assert get_numbers(queue) == list(oracle)
            if take == "reserve":
                held.write(make_item(0))
                held.commit()
            else:
                assert number_of(held.tree) == 0
                held.give_back()
            assert get_numbers(queue) == [0]
            assert queue.stats().free == 5


def test_an_endless_iterable_is_refused_after_more_than_fit():
    queue = TreeQueue(0, maxsize=4)
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield len(read)

    with pytest.raises(ValueError, match="at most"):
        queue.put_many(endless())
    assert len(read) == 5
    assert queue.empty()
