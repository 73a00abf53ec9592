"""Batches between processes: nobody waits for somebody who waits, and Ctrl-C is answered.

P1. A batch holds nothing while it waits, so that any number of batches of any size, in and out, go
    on as long as there are items and room for one of them.
P2. Every item comes once, whoever takes it and however it was put. To a consumer who is alone, one
    producer's items come in order.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from queue import Full

import numpy as np
import pytest
from batch_cases import make_item, make_stacked, number_of, numbers_of
from helpers import WATCHDOG_S, drain, wait_until_asleep

from treequeues import ShutDown, TreeQueue

MAXSIZE = 8
COUNT = 4000
INTERRUPTS = 10

# What a person may have to wait for Ctrl-C before the test calls it ignored.
INTERRUPT_WATCHDOG_S = 1.0


@pytest.fixture
def queue():
    with TreeQueue(make_item(0), maxsize=MAXSIZE) as queue:
        yield queue


# Producers put the numbers `first` to `first + COUNT - 1`, in different ways.


def put_one_by_one(queue, first, n):
    for number in range(first, first + COUNT):
        queue.put(make_item(number), timeout=WATCHDOG_S)


def put_by_put_batch(queue, first, n):
    for number in range(first, first + COUNT, n):
        queue.put_batch(make_stacked(range(number, number + n)), timeout=WATCHDOG_S)


def put_by_put_many(queue, first, n):
    for number in range(first, first + COUNT, n):
        queue.put_many(map(make_item, range(number, number + n)), timeout=WATCHDOG_S)


def put_by_reserve_batch(queue, first, n):
    number = first
    while number < first + COUNT:
        left = min(n, first + COUNT - number)
        with queue.reserve_batch(left, min=1, timeout=WATCHDOG_S) as loan:
            loan.write(make_stacked(range(number, number + len(loan))))
            number += len(loan)


# Consumers take items until the queue is shut down and drained, and tell their numbers.


def take_by_get_batch(queue, n):
    return [numbers_of(batch) for batch in take(lambda least: queue.get_batch(n, least))]


def take_by_get_batch_into_one_place(queue, n):
    out = make_stacked(range(n))
    return [numbers_of(batch) for batch in take(lambda least: queue.get_batch(n, least, out=out))]


def take_by_get_many(queue, n):
    return [list(map(number_of, items)) for items in take(lambda _: queue.get_many(n))]


def take_one_by_one(queue, n):
    return [[number_of(item)] for item in queue]


def take_by_borrow_batch(queue, n):
    def read(least):
        with queue.borrow_batch(n, least) as loan:
            return numbers_of(loan.tree)

    return list(take(read))


def take_by_borrow_batch_and_give_some_back(queue, n):
    taken = []

    def read(least):
        loan = queue.borrow_batch(n, least)
        numbers = numbers_of(loan.tree)
        if loan.info.delivery_count % 3 == 1 and numbers[0] % 5 == 0:
            loan.give_back()
        else:
            loan.release()
            taken.append(numbers)
        return numbers

    for _ in take(read):
        pass
    return taken


def take(call):
    """What `call(min)` gives until the shutdown: whole batches first, then what is left."""
    for least in (None, 1):
        while True:
            try:
                yield call(least)
            except ShutDown:
                break


def assert_all_came(runs, producers):
    came = sorted(itertools.chain.from_iterable(itertools.chain.from_iterable(runs)))
    assert came == list(range(producers * COUNT))


PRODUCERS = [put_one_by_one, put_by_put_batch, put_by_put_many, put_by_reserve_batch]
CONSUMERS = [
    take_by_get_batch,
    take_by_get_batch_into_one_place,
    take_by_get_many,
    take_one_by_one,
    take_by_borrow_batch,
    take_by_borrow_batch_and_give_some_back,
]


def run(nursery, queue, puts, takes):
    """Let all of them work at once; what each consumer took."""
    asked = [nursery.ask("fork", function, queue, n) for function, n in takes]
    putting = [
        nursery.start("fork", function, queue, place * COUNT, n)
        for place, (function, n) in enumerate(puts)
    ]
    for process in putting:
        nursery.finish(process)
    queue.shutdown()
    runs = [nursery.answer(one) for one in asked]
    assert_all_came(runs, len(puts))
    assert queue.stats().free == MAXSIZE
    return runs


# Asking for half the ring, and for all of it.


@pytest.mark.parametrize("consume", [take_by_get_batch, take_by_borrow_batch])
@pytest.mark.parametrize("n", [MAXSIZE // 2, MAXSIZE // 2 + 1, MAXSIZE])
def test_consumers_that_ask_for_much_of_the_ring_never_lock_each_other_out(
    queue, nursery, consume, n
):
    run(nursery, queue, [(put_one_by_one, 1)], [(consume, n)] * 2)


@pytest.mark.parametrize("produce", [put_by_put_batch, put_by_put_many, put_by_reserve_batch])
@pytest.mark.parametrize("n", [MAXSIZE // 2, MAXSIZE])
def test_producers_that_ask_for_much_of_the_ring_never_lock_each_other_out(
    queue, nursery, produce, n
):
    run(nursery, queue, [(produce, n)] * 2, [(take_one_by_one, 1)])


def test_producers_and_consumers_of_whole_rings_go_on(queue, nursery):
    run(nursery, queue, [(put_by_put_batch, MAXSIZE)] * 2, [(take_by_get_batch, MAXSIZE)] * 2)


def test_small_and_large_batches_go_on_beside_each_other(queue, nursery):
    puts = [(put_by_put_batch, MAXSIZE), (put_by_put_batch, 1), (put_one_by_one, 1)]
    takes = [(take_by_get_batch, MAXSIZE), (take_by_get_batch, 2), (take_by_get_many, 3)]
    run(nursery, queue, puts, takes)


def test_all_ways_in_and_out_at_once_lose_nothing_and_repeat_nothing(queue, nursery):
    puts = [(function, 4) for function in PRODUCERS]
    takes = [(function, 3) for function in CONSUMERS]
    run(nursery, queue, puts, takes)


@pytest.mark.parametrize("consume", CONSUMERS[:-1])
@pytest.mark.parametrize("produce", PRODUCERS)
def test_one_producers_items_come_to_a_lone_consumer_in_order(queue, nursery, produce, consume):
    (batches,) = run(nursery, queue, [(produce, 4)], [(consume, 3)])
    assert list(itertools.chain.from_iterable(batches)) == list(range(COUNT))


def test_two_producers_batches_each_come_in_order(queue, nursery):
    puts = [(put_by_put_batch, 4), (put_by_put_many, 5)]
    (batches,) = run(nursery, queue, puts, [(take_by_get_batch, 3)])
    came = list(itertools.chain.from_iterable(batches))
    for place in range(2):
        own = [number for number in came if number // COUNT == place]
        assert own == sorted(own)


def test_batches_come_whole_whenever_they_are_asked_for_whole(queue, nursery):
    batches, more = run(nursery, queue, [(put_one_by_one, 1)], [(take_by_get_batch, 4)] * 2)
    # COUNT is a multiple of 4, and both take 4 at a time.
    assert {len(batch) for batch in batches + more} == {4}


# Waiting.


def get_batch_late(queue, n):
    return numbers_of(queue.get_batch(n, timeout=WATCHDOG_S))


def test_a_batch_waits_without_holding_and_others_get_the_items(queue, nursery):
    asked = nursery.ask("fork", get_batch_late, queue, 4)
    for number in range(30):
        queue.put(make_item(number))
        wait_until_asleep(asked[0].pid)
        assert number_of(queue.get_nowait()) == number
    queue.put_batch(make_stacked(range(4)))
    assert nursery.answer(asked) == [0, 1, 2, 3]


def borrow_until_told(queue, connection):
    with queue.borrow(timeout=WATCHDOG_S) as loan:
        connection.send(number_of(loan.tree))
        assert connection.poll(WATCHDOG_S)
        if connection.recv() == "give back":
            loan.give_back()


@pytest.mark.parametrize("end", ["give back", "release", "die"])
def test_a_drain_waits_for_what_another_process_may_give_back(queue, nursery, end):
    queue.put_batch(make_stacked(range(4)))
    here, there = multiprocessing.get_context("fork").Pipe()
    holder = nursery.start("fork", borrow_until_told, queue, there)
    assert here.poll(WATCHDOG_S) and here.recv() == 0
    queue.shutdown()
    asked = nursery.ask("fork", get_batch_or_tell, queue, 4)
    wait_until_asleep(asked[0].pid)
    if end == "die":
        nursery.kill(holder)
    else:
        here.send(end)
        nursery.finish(holder)
    assert nursery.answer(asked) == ("shut down" if end == "release" else [0, 1, 2, 3])
    assert [number_of(item) for item in queue] == ([1, 2, 3] if end == "release" else [])


def get_batch_or_tell(queue, n):
    try:
        return get_batch_late(queue, n)
    except ShutDown:
        return "shut down"


# Ctrl-C.


def call_until_interrupted(queue, call, connection):
    # A parent that ignores SIGINT, a shell's background job, hands that down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for _ in range(INTERRUPTS):
        try:
            connection.send("blocking")
            call(queue)
            connection.send("returned")
        except KeyboardInterrupt:
            connection.send(time.monotonic())


def commit_past_a_view(queue):
    with queue.reserve(timeout=WATCHDOG_S) as loan:
        frame = loan.tree["frame"]
        frame[...] = 1


CALLS = {
    "get_batch": lambda queue: queue.get_batch(MAXSIZE),
    "get_batch of some": lambda queue: queue.get_batch(MAXSIZE, min=MAXSIZE - 1),
    "borrow_batch": lambda queue: queue.borrow_batch(MAXSIZE),
    "put_batch": lambda queue: queue.put_batch(make_stacked(range(MAXSIZE))),
    "put_many": lambda queue: queue.put_many([make_item(0)] * MAXSIZE),
    "reserve_batch": lambda queue: queue.reserve_batch(MAXSIZE),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_ctrl_c_interrupts_a_batch_that_waits_and_nothing_is_taken_or_put(
    queue, nursery, figure, call
):
    queue.put_batch(make_stacked(range(3)))
    interrupt(queue, nursery, figure, call)
    infos = [queue.get(info=True)[1] for _ in range(3)]
    assert [info.delivery_count for info in infos] == [1, 1, 1], "they were taken meanwhile"
    assert queue.stats().free == MAXSIZE


ONE_AT_A_TIME = {
    "get_many": lambda queue: queue.get_many(3),
    "borrow": lambda queue: queue.borrow(),
}


@pytest.mark.parametrize("call", ONE_AT_A_TIME.values(), ids=ONE_AT_A_TIME)
def test_ctrl_c_interrupts_a_call_that_waits_for_the_first_item(queue, nursery, figure, call):
    interrupt(queue, nursery, figure, call)
    assert queue.stats().free == MAXSIZE


@pytest.mark.parametrize("call", [TreeQueue.reserve, commit_past_a_view])
@pytest.mark.filterwarnings("ignore::treequeues.HeldViewWarning")
def test_ctrl_c_interrupts_a_loan_that_waits_for_a_slot(queue, nursery, figure, call):
    left = MAXSIZE if call is TreeQueue.reserve else MAXSIZE - 1
    queue.put_batch(make_stacked(range(left)))
    interrupt(queue, nursery, figure, call)
    assert [number_of(item) for item in drain(queue)] == list(range(left))
    assert queue.stats().free == MAXSIZE


def interrupt(queue, nursery, figure, call):
    """Interrupt a call that blocks in a process of its own, again and again."""
    here, there = multiprocessing.get_context("fork").Pipe()
    process = nursery.start("fork", call_until_interrupted, queue, call, there)
    there.close()
    took = []
    for _ in range(INTERRUPTS):
        assert here.poll(WATCHDOG_S)
        assert here.recv() == "blocking"
        wait_until_asleep(process.pid)
        start = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        assert here.poll(WATCHDOG_S), "Ctrl-C was not answered"
        end = here.recv()
        assert end != "returned"
        took.append(end - start)
    nursery.finish(process)
    figure(f"longest {1000 * max(took):.1f} ms, of {INTERRUPTS}")
    assert max(took) <= INTERRUPT_WATCHDOG_S


# A claim of so many takes longer than the time after which it asks whether it is to go on.
LARGE = 4_000_000
# A fraction of that time.
SOON_S = 0.01


@contextlib.contextmanager
def alarm_soon(handler):
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, SOON_S)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_interrupts_a_batch_of_very_many_in_the_middle():
    rows = np.arange(LARGE, dtype=np.int32)

    def put_one(signum, frame):
        queue.put(np.int32(7), timeout=WATCHDOG_S)

    with TreeQueue(np.int32(0), maxsize=LARGE) as queue:
        with pytest.raises(KeyboardInterrupt), alarm_soon(signal.default_int_handler):
            queue.put_batch(rows)
        assert queue.empty()
        # A handler may use the queue: no slot is held meanwhile.
        with pytest.raises(Full), alarm_soon(put_one):
            queue.put_batch(rows, block=False)
        assert queue.get() == 7 and queue.empty()
        queue.put_batch(rows)
        with pytest.raises(KeyboardInterrupt), alarm_soon(signal.default_int_handler):
            queue.get_batch(LARGE)
        assert queue.qsize() == LARGE
        assert [queue.get() for _ in range(3)] == [0, 1, 2]


def test_a_queue_is_closed_in_the_middle_of_a_batch_of_very_many():
    queue = TreeQueue(np.int32(0), maxsize=LARGE)
    closer = threading.Timer(SOON_S, queue.close)
    rows = np.zeros(LARGE, np.int32)
    closer.start()
    with pytest.raises(ValueError, match="closed"):
        queue.put_batch(rows)
    closer.join()


@pytest.mark.parametrize("get", [TreeQueue.get_batch, TreeQueue.get_many])
def test_ctrl_c_while_many_items_are_copied_takes_none_of_them(get):
    count, row = 2048, np.zeros(1 << 16, np.uint8)
    with TreeQueue(row, maxsize=count) as queue:
        for _ in range(count):
            queue.put(row)
        with pytest.raises(KeyboardInterrupt), alarm_soon(signal.default_int_handler):
            get(queue, count)
        assert queue.qsize() == count
