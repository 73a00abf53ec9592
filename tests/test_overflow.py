"""Queues that drop their oldest items for newer ones: `overflow="drop_oldest"`.

O1. A put into the full queue does not wait: the oldest item goes, and is counted.
O2. The newest item never goes, nor one that is being read or written.
O3. A call that cannot succeed drops nothing.
"""

import pickle
import queue as standard
import threading

import numpy as np
import pytest
from helpers import WATCHDOG_S

from treequeues import ArrayQueue, ShutDown, TreeQueue

EXAMPLE = {"step": 0, "frame": np.zeros(3, np.uint8)}


def item(step):
    return {"step": step, "frame": np.full(3, step % 256, np.uint8)}


def stacked(*steps):
    frames = np.repeat(np.array(steps, np.uint8)[:, None], 3, axis=1)
    return {"step": np.array(steps), "frame": frames}


def make_queue(maxsize=4, **options):
    return TreeQueue(EXAMPLE, maxsize, overflow="drop_oldest", **options)


def steps_left(queue):
    trees = queue.get_many(queue.maxsize, block=False) if queue.qsize() else []
    for tree in trees:
        assert (tree["frame"] == tree["step"] % 256).all()
    return [tree["step"] for tree in trees]


def overwritten(queue):
    return queue.stats().counters.overwritten


def put_by_put(queue, step):
    queue.put(item(step))


def put_by_put_nowait(queue, step):
    queue.put_nowait(item(step))


def put_by_put_timeout_0(queue, step):
    queue.put(item(step), timeout=0)


def put_by_reserve(queue, step):
    with queue.reserve() as loan:
        loan.write(item(step))


def put_by_reserve_nowait(queue, step):
    with queue.reserve(block=False) as loan:
        loan.write(item(step))


def put_by_put_many(queue, step):
    queue.put_many([item(step)])


def put_by_put_batch(queue, step):
    queue.put_batch(stacked(step), block=False)


def put_by_reserve_batch(queue, step):
    with queue.reserve_batch(1) as loan:
        loan.write(stacked(step))


WAYS = [
    put_by_put,
    put_by_put_nowait,
    put_by_put_timeout_0,
    put_by_reserve,
    put_by_reserve_nowait,
    put_by_put_many,
    put_by_put_batch,
    put_by_reserve_batch,
]


@pytest.mark.parametrize("put", WAYS)
def test_each_way_to_put_drops_the_oldest_item_of_a_full_queue(put):
    with make_queue() as queue:
        for step in range(10):
            put(queue, step)
        counters = queue.stats().counters
        assert (counters.puts, counters.overwritten, counters.gets) == (10, 6, 0)
        assert (counters.full, counters.put_waits, counters.dropped) == (0, 0, 0)
        assert steps_left(queue) == [6, 7, 8, 9]


def test_a_batch_drops_as_many_as_it_lacks_and_none_if_that_is_not_enough():
    with make_queue() as queue:
        queue.put_batch(stacked(0, 1, 2))
        queue.put_batch(stacked(3, 4))
        assert overwritten(queue) == 1
        with queue.borrow() as loan:
            assert loan.tree["step"] == 1
            for batch in (stacked(5, 6, 7, 8),):
                with pytest.raises(standard.Full):
                    queue.put_batch(batch, block=False)
                with pytest.raises(standard.Full):
                    queue.put_many([item(step) for step in batch["step"]], timeout=0.01)
            assert overwritten(queue) == 1
            queue.put_batch(stacked(5, 6, 7))
            assert overwritten(queue) == 4
        assert steps_left(queue) == [5, 6, 7]


def test_an_item_that_is_read_is_never_dropped_nor_one_that_is_written():
    with make_queue(2) as queue:
        queue.put(item(0))
        queue.put(item(1))
        with queue.borrow() as reading:
            for step in range(2, 50):
                queue.put(item(step))
                assert reading.tree["step"] == 0
            with queue.reserve() as writing:
                writing.write(item(50))
                with pytest.raises(standard.Full):
                    queue.put(item(51), block=False)
                with pytest.raises(standard.Full):
                    queue.put(item(51), timeout=0.01)
        assert overwritten(queue) == 49
        assert steps_left(queue) == [50]


def test_a_view_that_outlives_its_loan_is_never_written_over():
    with make_queue(2) as queue:
        queue.put(item(0))
        with queue.borrow() as loan:
            kept = loan.tree["frame"]
        for step in range(1, 20):
            queue.put(item(step))
            assert (kept == 0).all()
        assert steps_left(queue) == [19]


def test_a_view_that_outlives_its_reserve_lets_its_item_take_the_place_of_the_oldest():
    with make_queue(2) as queue:
        queue.put(item(0))
        with pytest.warns(Warning, match="view"), queue.reserve() as loan:
            loan.write(item(1))
            kept = loan.tree["frame"]
        kept[...] = 99
        assert steps_left(queue) == [1]
        assert overwritten(queue) == 1


def test_a_put_that_does_not_fit_drops_nothing():
    with make_queue(2) as queue:
        queue.put_batch(stacked(0, 1))
        with pytest.raises(ValueError):
            queue.put({"step": 2, "frame": np.zeros(4, np.uint8)})
        queue.shutdown()
        with pytest.raises(ShutDown):
            queue.put(item(2))
        with pytest.raises(ShutDown):
            queue.put_batch(stacked(2, 3))
        assert (overwritten(queue), steps_left(queue)) == (0, [0, 1])


def test_on_drop_hears_nothing_of_it():
    heard = []
    with make_queue(2, max_deliveries=1, on_drop=lambda *said: heard.append(said)) as queue:
        for step in range(5):
            queue.put(item(step))
        assert (heard, steps_left(queue)) == ([], [3, 4])


def test_a_queue_that_blocks_is_what_it_was():
    with TreeQueue(EXAMPLE, 1, overflow="block") as queue, TreeQueue(EXAMPLE, 1) as plain:
        for it in (queue, plain):
            assert it.overflow == "block"
            it.put(item(0))
            with pytest.raises(standard.Full):
                it.put(item(1), block=False)
            assert (overwritten(it), steps_left(it)) == (0, [0])


def test_it_is_the_queues_and_travels(tmp_path):
    with make_queue(1, name=f"overflow-{tmp_path.name}") as queue:
        again = pickle.loads(pickle.dumps(queue))
        # Who comes later has no say, as with all that is the queue's.
        opened = TreeQueue.open(queue.name, EXAMPLE, 1)
        for it in (queue, again, opened, TreeQueue.attach(queue.name)):
            assert it.overflow == "drop_oldest"
            it.put(item(0))
            it.put(item(1))
            it.close()


def test_an_array_queue_has_it_too():
    with ArrayQueue(np.zeros(2), 1, overflow="drop_oldest") as queue:
        queue.put(np.ones(2))
        queue.put(np.full(2, 2.0))
        assert queue.overflow == "drop_oldest"
        assert queue.get().tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("overflow", "error", "says"),
    [
        (
            "drop_newest",
            ValueError,
            'overflow must be "block" or "drop_oldest", got \'drop_newest\'',
        ),
        ("", ValueError, "got ''"),
        (True, TypeError, "overflow must be a str, got"),
    ],
)
def test_what_is_no_overflow_is_refused(overflow, error, says):
    with pytest.raises(error) as refused:
        TreeQueue(EXAMPLE, 1, overflow=overflow)
    assert says in str(refused.value)


def test_threads_of_producers_and_a_slow_consumer_lose_count_of_nothing():
    puts_each = 3000
    with make_queue(3) as queue:
        taken = []

        def produce(first):
            for step in range(first, first + puts_each):
                try:
                    queue.put(item(step), timeout=WATCHDOG_S)
                except standard.Full:
                    pytest.fail("a slot came free in all that time")

        def consume():
            for _ in iter(int, 1):
                try:
                    tree, info = queue.get(timeout=WATCHDOG_S, info=True)
                except ShutDown:
                    return
                taken.append((info.ticket, tree["step"]))

        consumer = threading.Thread(target=consume)
        producers = [threading.Thread(target=produce, args=(n * puts_each,)) for n in range(3)]
        for thread in (consumer, *producers):
            thread.start()
        for thread in producers:
            thread.join(WATCHDOG_S)
        queue.shutdown()
        consumer.join(WATCHDOG_S)
        counters = queue.stats().counters
        assert counters.puts == 3 * puts_each == len(taken) + counters.overwritten
        assert len({ticket for ticket, _ in taken}) == len(taken)
        # Puts that overlap have no order, but each producer's have.
        for first in range(0, 3 * puts_each, puts_each):
            steps = [step for _, step in taken if first <= step < first + puts_each]
            assert steps == sorted(set(steps))
