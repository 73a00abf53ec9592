"""A fast producer and a slow consumer, in processes of their own, at a queue of two slots that
drops its oldest items.

N1. The newest item is never dropped: the last one put is the last one taken.
N2. No item is lost without being counted: put are those taken, dropped and left.
N3. A put waits for nobody while at most one slot is held.

`make soak` puts a million items.
"""

import os
import queue as standard
import time

import numpy as np
from helpers import WATCHDOG_S

from treequeues import ShutDown, TreeQueue

ITEMS = int(os.environ.get("TREEQUEUES_OVERFLOW", "30000"))
EXAMPLE = {"step": 0, "frame": np.zeros(500, np.int64)}
# A consumer that is killed holds a slot until it is found dead.
KILLS = 5


def item(step):
    return {"step": step, "frame": np.full(500, step)}


def produce(queue, count):
    for step in range(count):
        # It raises Full if it had to wait for anybody.
        queue.put(item(step), timeout=0)


def consume_slowly(queue):
    taken, last, last_step = 0, -1, -1
    while True:
        try:
            with queue.borrow(timeout=WATCHDOG_S) as loan:
                step, ticket = int(loan.tree["step"]), loan.info.ticket
                for _ in range(taken % 3):
                    time.sleep(0.0002)
                assert (loan.tree["frame"] == step).all()
        except ShutDown:
            return taken, last_step
        assert ticket > last
        taken, last, last_step = taken + 1, ticket, step


def test_a_fast_producer_and_a_slow_consumer_at_two_slots(nursery):
    with TreeQueue(EXAMPLE, 2, overflow="drop_oldest") as queue:
        consumer = nursery.ask("spawn", consume_slowly, queue)
        nursery.call("spawn", produce, queue, ITEMS)
        queue.shutdown()
        taken, last_step = nursery.answer(consumer)
        counters = queue.stats().counters
        assert last_step == ITEMS - 1
        assert counters.puts == ITEMS == taken + counters.overwritten + queue.qsize()
        assert (counters.gets, counters.full, counters.put_waits) == (taken, 0, 0)
        assert counters.overwritten > 0


def take_and_never_end(queue, said):
    loan = queue.borrow(timeout=WATCHDOG_S)
    said.put(int(loan.tree["step"]))
    time.sleep(WATCHDOG_S)


def test_a_consumer_that_is_killed_with_an_item_in_hand_takes_no_slot_with_it(nursery):
    said = TreeQueue(0, 1)
    with TreeQueue(EXAMPLE, 2, overflow="drop_oldest") as queue:
        for step in range(KILLS):
            queue.put(item(step))
            consumer = nursery.start("fork", take_and_never_end, queue, said)
            held = said.get(timeout=WATCHDOG_S)
            for newer in range(100, 120):
                queue.put(item(newer), timeout=WATCHDOG_S)
            nursery.kill(consumer)
            assert held <= step or held >= 100
            while queue.stats().reading:
                # The put that finds the other slot held looks for the dead.
                queue.put(item(119), timeout=WATCHDOG_S)
            # Both slots are there again.
            queue.put_many([item(200), item(201)], timeout=WATCHDOG_S)
            assert [int(tree["step"]) for tree in queue.get_many(2)] == [200, 201]


def drop_and_put_for_ever(queue):
    step = 0
    while True:
        try:
            queue.put_many([item(step), item(step)], timeout=WATCHDOG_S)
            queue.put(item(step), block=False)
        except standard.Full:
            pass
        step += 1


def test_producers_that_are_killed_as_they_drop_lose_no_slot_and_tear_no_item(nursery):
    with TreeQueue(EXAMPLE, 3, overflow="drop_oldest", max_deliveries=1) as queue:
        for _ in range(KILLS):
            producers = [nursery.start("fork", drop_and_put_for_ever, queue) for _ in range(2)]
            for _ in range(50):
                tree = queue.get(timeout=WATCHDOG_S)
                assert (tree["frame"] == tree["step"]).all()
            for producer in producers:
                nursery.kill(producer)
            queue.put_many([item(0), item(1), item(2)], timeout=WATCHDOG_S)
            assert [int(tree["step"]) for tree in queue.get_many(3)] == [0, 1, 2]
        # Nobody died of an item: who drops one is no taker of it.
        assert queue.stats().counters.dropped == 0
