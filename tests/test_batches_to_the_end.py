"""`for batch in queue.batches(n)`: stacked batches until the queue is shut down and drained."""

import queue as standard
import threading

import numpy as np
import pytest
from helpers import WATCHDOG_S

from treequeues import ArrayQueue, TreeQueue


def full_queue(items, maxsize=16):
    queue = TreeQueue({"step": 0}, maxsize)
    if items:
        queue.put_batch({"step": np.arange(items)})
    queue.shutdown()
    return queue


@pytest.mark.parametrize("items", range(8))
def test_the_last_batch_is_what_is_left(items):
    with full_queue(items) as queue:
        batches = [batch["step"].tolist() for batch in queue.batches(3)]
        assert [step for batch in batches for step in batch] == list(range(items))
        assert [len(batch) for batch in batches[:-1]] == [3] * max(0, (items - 1) // 3)
        assert queue.empty()


@pytest.mark.parametrize("items", range(8))
def test_drop_last_leaves_what_is_no_whole_batch(items):
    with full_queue(items) as queue:
        assert [len(batch["step"]) for batch in queue.batches(3, drop_last=True)] == [3] * (
            items // 3
        )
        assert queue.qsize() == items % 3


def test_it_waits_for_whole_batches_while_more_may_come():
    with TreeQueue({"step": 0}, 8) as queue:

        def produce():
            for step in range(10):
                queue.put({"step": step})
            queue.shutdown()

        producer = threading.Thread(target=produce)
        producer.start()
        sizes = [len(batch["step"]) for batch in queue.batches(4)]
        producer.join(WATCHDOG_S)
        assert sizes == [4, 4, 2]


def test_consumers_share_what_is_left():
    with TreeQueue({"step": 0}, 64) as queue:
        queue.put_batch({"step": np.arange(50)})
        taken = []

        def consume():
            for batch in queue.batches(7):
                taken.append(batch["step"])

        consumers = [threading.Thread(target=consume) for _ in range(3)]
        for consumer in consumers:
            consumer.start()
        queue.shutdown()
        for consumer in consumers:
            consumer.join(WATCHDOG_S)
        assert sorted(np.concatenate(taken).tolist()) == list(range(50))


def test_what_cannot_be_is_refused_at_once():
    with TreeQueue({"step": 0}, 4) as queue:
        for n in (0, 5, -1):
            with pytest.raises(ValueError, match="n must be"):
                queue.batches(n)
        with pytest.raises(TypeError, match="drop_last must be a bool"):
            queue.batches(2, drop_last=1)
        with pytest.raises(TypeError, match="timeout"):
            queue.batches(2, timeout="soon")
        with pytest.raises(standard.Empty):
            next(queue.batches(2, timeout=0.01))
    with pytest.raises(ValueError, match="is closed"):
        queue.batches(2)


def test_a_subclass_gives_its_own_batches():
    class Doubled(TreeQueue):
        def get_batch(self, *args, **kwargs):
            return {"step": 2 * super().get_batch(*args, **kwargs)["step"]}

    with Doubled({"step": 0}, 4) as queue:
        queue.put_batch({"step": np.arange(3)})
        queue.shutdown()
        assert [batch["step"].tolist() for batch in queue.batches(2)] == [[0, 2], [4]]


def test_arrays_come_stacked():
    with ArrayQueue(np.zeros(2), 4) as queue:
        queue.put_batch(np.ones((3, 2)))
        queue.shutdown()
        assert [batch.shape for batch in queue.batches(2)] == [(2, 2), (1, 2)]
