"""The end of a stream: a queue that was told how many producers there will be ends when they have
all left, however they left.

E1. Consumers take what is there, and then get ShutDown, which says how many have left and died.
E2. The first producer that is done does not end the others, and nobody waits for the dead.
E3. A block that is left by its end, an exception, `close` or the end of the process has left; one
    whose process is killed has died.
"""

import multiprocessing
import os
import pickle
import queue as standard
import re
import signal
import sys
import threading
import time

import numpy as np
import pytest
from helpers import START_METHODS, WATCHDOG_S, in_forked_child, reap

from treequeues import ArrayQueue, ShutDown, TreeQueue

EXAMPLE = {"producer": 0, "step": 0}
ITEMS = 5
# How late the end may be found: generously, for it is measured elsewhere.
IN_TIME_S = 5.0


def make_queue(producers, maxsize=64, **options):
    return TreeQueue(EXAMPLE, maxsize, producers=producers, **options)


def put(queue, producer, items=ITEMS):
    for step in range(items):
        queue.put({"producer": producer, "step": step}, timeout=WATCHDOG_S)


def die():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(WATCHDOG_S)


# What a producer does. Each puts `ITEMS` items.


def leaves(queue, producer):
    with queue.producing():
        put(queue, producer)


def is_killed_in_its_block(queue, producer):
    with queue.producing():
        put(queue, producer)
        die()


def is_killed_after_its_block(queue, producer):
    with queue.producing():
        put(queue, producer)
    die()


def raises_in_its_block(queue, producer):
    try:
        with queue.producing():
            put(queue, producer)
            raise KeyError(producer)
    except KeyError:
        pass


def exits_in_its_block(queue, producer):
    with queue.producing():
        put(queue, producer)
        sys.exit(0)


def ends_with_its_block_open(queue, producer):
    block = queue.producing()
    block.__enter__()
    put(queue, producer)
    global _kept
    _kept = block


def closes_in_its_block(queue, producer):
    with queue.producing():
        put(queue, producer)
        queue.close()


def has_two_blocks(queue, producer):
    block = queue.producing()
    with block:
        put(queue, producer, ITEMS - 1)
    with block, block:
        put(queue, producer, 1)


def works_in_threads(queue, producer):
    def work(step):
        with queue.producing():
            queue.put({"producer": producer, "step": step}, timeout=WATCHDOG_S)

    # More blocks than one are fine, and all are waited for.
    with queue.producing():
        threads = [threading.Thread(target=work, args=(step,)) for step in range(ITEMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WATCHDOG_S)


def forks_in_its_block(queue, producer):
    with queue.producing():
        pid = os.fork()
        if pid == 0:
            # Its end, and what it inherited, end nothing.
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        put(queue, producer)


def is_killed_holding_a_slot(queue, producer):
    with queue.producing():
        put(queue, producer)
        queue.reserve()
        die()


CASES = [
    # Producers, and how many came and died.
    pytest.param([leaves], 1, 0, id="one that leaves"),
    pytest.param([leaves, leaves, leaves], 3, 0, id="all leave"),
    pytest.param([is_killed_in_its_block], 1, 1, id="one that is killed"),
    pytest.param([leaves, is_killed_in_its_block, leaves], 3, 1, id="one of them is killed"),
    pytest.param([is_killed_in_its_block] * 3, 3, 3, id="all are killed"),
    pytest.param([is_killed_after_its_block, leaves], 2, 0, id="killed behind the block"),
    pytest.param([is_killed_holding_a_slot, leaves], 2, 1, id="killed with a slot in hand"),
    pytest.param([raises_in_its_block, leaves], 2, 0, id="an exception"),
    pytest.param([exits_in_its_block, leaves], 2, 0, id="an exit"),
    pytest.param([ends_with_its_block_open, leaves], 2, 0, id="a process that ends in its block"),
    pytest.param([closes_in_its_block, leaves], 2, 0, id="a queue that is closed in its block"),
    pytest.param([has_two_blocks], 3, 0, id="blocks one after the other, and in each other"),
    pytest.param([works_in_threads], 1 + ITEMS, 0, id="threads"),
    pytest.param([forks_in_its_block], 1, 0, id="a fork in the block"),
]


def consume_to_the_end(queue):
    taken = []
    while True:
        try:
            tree = queue.get(timeout=WATCHDOG_S)
        except ShutDown as end:
            return taken, str(end), time.monotonic()
        taken.append((int(tree["producer"]), int(tree["step"])))


def says(came, died):
    if came == 1:
        return "the one producer has died" if died else "the one producer has left"
    return f"all {came} producers have left" + (f"; {died} of them died" if died else "")


@pytest.mark.parametrize(("deeds", "came", "died"), CASES)
def test_consumers_get_what_is_there_and_then_the_end(nursery, deeds, came, died, figure):
    # Of those that have more blocks than one, all are waited for.
    with make_queue(max(len(deeds), came if len(deeds) == 1 else 0)) as queue:
        consumers = [nursery.ask("fork", consume_to_the_end, queue) for _ in range(2)]
        producers = [
            nursery.start("fork", deed, queue, producer) for producer, deed in enumerate(deeds)
        ]
        for producer in producers:
            producer.join(WATCHDOG_S)
        over = time.monotonic()
        answers = [nursery.answer(consumer) for consumer in consumers]
        taken = sorted(item for items, _, _ in answers for item in items)
        assert len(taken) == ITEMS * len(deeds)
        for _, text, ended in answers:
            assert re.search(rf": {says(came, died)}: no item is left$", text), text
            assert ended - over < IN_TIME_S
        figure(
            f"the end came {max(ended - over for *_, ended in answers) * 1e3:.0f} ms after the last"
        )
        stats = queue.stats()
        assert (stats.producers.came, stats.producers.died) == (came, died)
        assert stats.producers.left == came - died
        assert (stats.is_shut_down, stats.shut_down_by) == (True, None)
        assert stats.shut_down_at is not None
        with pytest.raises(ShutDown, match=says(came, died)), queue.producing():
            pytest.fail("nobody can come any more")
        with pytest.raises(ShutDown, match="nothing more can be put"):
            queue.put(EXAMPLE)


def produce_when_told(queue, producer, go):
    with queue.producing():
        put(queue, producer)
        go.get(timeout=WATCHDOG_S)


def test_the_first_that_is_done_does_not_end_the_others(nursery):
    with make_queue(2) as queue, ArrayQueue(np.zeros(1), 1) as go:
        consumer = nursery.ask("fork", consume_to_the_end, queue)
        first = nursery.start("fork", leaves, queue, 0)
        nursery.finish(first)
        assert not queue.stats().is_shut_down
        second = nursery.start("fork", produce_when_told, queue, 1, go)
        while queue.stats().producers.came < 2:
            time.sleep(0.01)
        assert not queue.stats().is_shut_down
        go.put(np.zeros(1))
        nursery.finish(second)
        taken, text, _ = nursery.answer(consumer)
        assert len(taken) == 2 * ITEMS
        assert says(2, 0) in text


def test_producers_that_never_come_are_waited_for():
    with make_queue(2) as queue:
        leaves(queue, 0)
        assert len([queue.get() for _ in range(ITEMS)]) == ITEMS
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.3)
        assert not queue.stats().is_shut_down


def test_more_than_were_said_are_waited_for():
    with make_queue(1) as queue, queue.producing():
        leaves(queue, 0)
        leaves(queue, 1)
        assert not queue.stats().is_shut_down
        put(queue, 2)
    with pytest.raises(ValueError, match="is closed"):
        queue.get()


def test_without_producers_nobody_counts():
    with TreeQueue(EXAMPLE, 4) as queue:
        assert (queue.producers, queue.stats().producers) == (None, None)
        with pytest.raises(ValueError, match="made without producers="):
            queue.producing()
        queue.put(EXAMPLE)
        queue.get()
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.01)


def test_a_poll_finds_the_end_too(nursery):
    with make_queue(1) as queue:
        producer = nursery.start("fork", is_killed_in_its_block, queue, 0)
        producer.join(WATCHDOG_S)
        began = time.monotonic()
        taken = 0
        with pytest.raises(ShutDown, match="the one producer has died"):
            while time.monotonic() < began + WATCHDOG_S:
                try:
                    queue.get(block=False)
                    taken += 1
                except standard.Empty:
                    time.sleep(0.001)
        assert taken == ITEMS


def test_a_producer_that_waits_for_room_is_told_of_a_shutdown_as_ever():
    with make_queue(2, maxsize=1) as queue, queue.producing():
        queue.put(EXAMPLE)
        queue.shutdown()
        with pytest.raises(ShutDown, match=r"by process \d+ \(this process\)"):
            queue.put(EXAMPLE)
        with pytest.raises(ShutDown, match="no producer can come any more"), queue.producing():
            pass


def test_iteration_and_batches_end_with_the_stream(nursery):
    with make_queue(2, maxsize=8) as queue:
        for producer in range(2):
            nursery.start("fork", leaves, queue, producer)
        assert len(list(queue)) == 2 * ITEMS
    with make_queue(2, maxsize=8) as queue:
        for producer in range(2):
            nursery.start("fork", leaves, queue, producer)
        assert [len(batch["step"]) for batch in queue.batches(4)] == [4, 4, 2]


@pytest.mark.parametrize("method", START_METHODS)
def test_the_number_travels_with_the_queue(nursery, method):
    with make_queue(1) as queue:
        nursery.finish(nursery.start(method, leaves, queue, 0))
        assert len(list(queue)) == ITEMS
        assert pickle.loads(pickle.dumps(queue)).producers == 1


def test_a_forked_child_has_no_block():
    with make_queue(1) as queue:
        block = queue.producing()
        with block:

            def leave_the_parents():
                block.__exit__(None, None, None)
                queue.close()

            reap(in_forked_child(leave_the_parents))
            assert not queue.stats().is_shut_down
            put(queue, 0)
        assert len(list(queue)) == ITEMS


def test_a_block_travels_to_no_other_process():
    with make_queue(1) as queue:
        block = queue.producing()
        with pytest.raises(TypeError):
            pickle.dumps(block)
        with pytest.raises(RuntimeError, match="has not begun"):
            block.__exit__(None, None, None)
        queue.close()
        with pytest.raises(ValueError, match="is closed"):
            block.__enter__()


def test_a_block_whose_object_is_gone_has_left():
    with make_queue(1) as queue:
        queue.producing().__enter__()
        assert queue.stats().producers.left == 1
        assert queue.stats().is_shut_down


@pytest.mark.parametrize(
    ("producers", "error", "message"),
    [
        (0, ValueError, "producers must be at least 1, got 0"),
        (2**32, ValueError, "producers must be at most"),
        (True, TypeError, "producers must be an int"),
        ("3", TypeError, "producers must be an int"),
    ],
)
def test_what_is_no_number_of_producers_is_refused(producers, error, message):
    with pytest.raises(error, match=message):
        make_queue(producers)


def test_a_named_queue_ends_for_all_who_attach(nursery, queue_folder):
    with make_queue(1, name="stream"):
        again = TreeQueue.open("stream", EXAMPLE, 64, producers=7)
        assert (again.producers, TreeQueue.attach("stream").producers) == (1, 1)
        nursery.start("fork", is_killed_in_its_block, again, 0).join(WATCHDOG_S)
        _, text, _ = consume_to_the_end(TreeQueue.attach("stream"))
        assert 'the queue "stream" was shut down at' in text
        assert "the one producer has died" in text


def test_many_who_leave_and_die_at_once_end_it_once(nursery):
    for _ in range(5):
        with make_queue(8) as queue:
            consumer = nursery.ask("fork", consume_to_the_end, queue)
            deeds = [leaves, is_killed_in_its_block] * 4
            started = [nursery.start("fork", deed, queue, it) for it, deed in enumerate(deeds)]
            for process in started:
                process.join(WATCHDOG_S)
            taken, text, _ = nursery.answer(consumer)
            assert len(taken) == 8 * ITEMS
            assert "all 8 producers have left; 4 of them died" in text
    assert multiprocessing.active_children() == []
