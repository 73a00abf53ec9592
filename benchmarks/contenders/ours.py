"""treequeues, the way that needs least knowledge first; the others are rows of their own."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks import cells
from benchmarks.contenders.base import (
    Channel,
    Contender,
    Get,
    QueueChannel,
    Step,
    Visit,
    empty_batch,
    stack,
)


class TreeQueues(Contender):
    name = cells.OURS
    package = "treequeues"
    measures = Contender.measures | {cells.LOANS, cells.COPIES, cells.AT_HAND}
    batch_method = "put, get_batch"

    def open(self, item: Any, maxsize: int) -> Channel:
        return _BatchChannel(new_queue(item, maxsize))

    def loan_steps(self, item: np.ndarray, slots: int) -> tuple[Step, Step]:
        queue = new_queue(item, slots)

        def write() -> None:
            with queue.reserve() as loan:
                loan.tree[0] = 1

        def read() -> None:
            with queue.borrow() as loan:
                if loan.tree.item(0) != 1:
                    raise ValueError("an item did not come as it was put")

        return write, read


class TreeQueuesOut(Contender):
    """The same, into one and the same tree of arrays each time."""

    name = "treequeues, out="
    package = "treequeues"
    extra = True
    method = "put, get(out=)"
    batch_method = "put, get_batch(out=)"

    def open(self, item: Any, maxsize: int) -> Channel:
        return _OutChannel(new_queue(item, maxsize), item)


class TreeQueuesStack(Contender):
    """What one does who has `get` alone, so that the gain of a batch shows."""

    name = "treequeues, get and stack"
    package = "treequeues"
    measures = frozenset({cells.BATCHES})
    batch_method = "put, get, numpy.stack"

    def open(self, item: Any, maxsize: int) -> Channel:
        return QueueChannel(new_queue(item, maxsize))


class TreeQueuesBorrow(Contender):
    """A stacked view instead of a copy."""

    name = "treequeues, borrow_batch"
    package = "treequeues"
    measures = frozenset({cells.BATCHES})
    batch_method = "put, borrow_batch"
    remark = "no copy out: the batch is read in place"

    def open(self, item: Any, maxsize: int) -> Channel:
        return _BorrowChannel(new_queue(item, maxsize))


class TreeQueuesBatches(Contender):
    """Batches in and out, for whoever makes them by the batch: vectorized environments do."""

    name = "treequeues, put_batch and borrow_batch"
    package = "treequeues"
    measures = frozenset({cells.BATCHES})
    batch_method = "put_batch, borrow_batch"
    remark = "items are put as ready batches, and read in place"

    def open(self, item: Any, maxsize: int) -> Channel:
        return _PutBatchChannel(new_queue(item, maxsize))


class TreeQueuesBothWays(Contender):
    """Batches in and out, as copies: what many processes at once make of them."""

    name = "treequeues, put_batch and get_batch"
    package = "treequeues"
    measures = frozenset({cells.BATCHES_BOTH_WAYS})
    batch_method = "put_batch, get_batch"

    def open(self, item: Any, maxsize: int) -> Channel:
        return _BothWaysChannel(new_queue(item, maxsize))


class _BatchChannel(QueueChannel):
    def batch_taker(self, batch: int, visit: Visit) -> Step:
        get_batch = self.queue.get_batch
        return lambda: visit(get_batch(batch))


class _OutChannel(QueueChannel):
    def __init__(self, queue: Any, example: Any) -> None:
        super().__init__(queue)
        self.example = example

    def getter(self) -> Get:
        return functools.partial(self.queue.get, out=_like(self.example))

    def batch_taker(self, batch: int, visit: Visit) -> Step:
        get_batch, out = self.queue.get_batch, empty_batch(self.example, batch)
        return lambda: visit(get_batch(batch, out=out))


class _BorrowChannel(QueueChannel):
    def batch_taker(self, batch: int, visit: Visit) -> Step:
        borrow_batch = self.queue.borrow_batch

        def take() -> None:
            with borrow_batch(batch) as loan:
                visit(loan.tree)

        return take


class _PutBatchChannel(_BorrowChannel):
    def batch_putter(self, samples: list[Any], batch: int) -> Step:
        put_batch = self.queue.put_batch
        # As many batches as bring the samples round, so that they come in turn for ever.
        numbers = range(batch * len(samples))
        items = [samples[number % len(samples)] for number in numbers]
        batches = [stack(items[start : start + batch]) for start in numbers[::batch]]

        def put() -> None:
            for stacked in batches:
                put_batch(stacked)

        return put


class _BothWaysChannel(_PutBatchChannel):
    def batch_taker(self, batch: int, visit: Visit) -> Step:
        get_batch = self.queue.get_batch
        return lambda: visit(get_batch(batch))


def new_queue(item: Any, maxsize: int) -> Any:
    from treequeues import TreeQueue

    return TreeQueue(item, maxsize)


def _like(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _like(leaf) for key, leaf in item.items()}
    return np.empty_like(item) if isinstance(item, np.ndarray) else item
