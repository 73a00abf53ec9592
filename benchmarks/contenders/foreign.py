"""Queues from PyPI, each used as well as its documentation and its code allow."""

from __future__ import annotations

import contextlib
import functools
import pickle
import queue as standard_queue
import resource
from typing import Any

import numpy as np

from benchmarks.cells import Cell
from benchmarks.contenders.base import (
    WAIT_S,
    Channel,
    Contender,
    Get,
    Put,
    QueueChannel,
    Step,
    Visit,
    empty_batch,
    only_one_to_one,
    stack,
)


class FasterFifo(Contender):
    """A ring of bytes behind a POSIX mutex, in C++.

    It takes a serializer of one's own, so it gets pickle protocol 5, which spares large arrays the
    copy that the default protocol makes.
    """

    name = "faster-fifo"
    package = "faster-fifo"
    method = "put, get; pickle protocol 5"
    batch_method = "get_many, numpy.stack"

    def open(self, item: Any, maxsize: int) -> Channel:
        import faster_fifo

        dumps = functools.partial(pickle.dumps, protocol=5)
        message_nbytes = len(dumps(item)) + 8  # It writes each message's length before it.
        queue = faster_fifo.Queue(
            max_size_bytes=message_nbytes * maxsize, maxsize=maxsize, dumps=dumps
        )
        return _FasterFifoChannel(queue)


class _FasterFifoChannel(QueueChannel):
    """Between several processes it reports Full or Empty long before the timeout, when somebody
    else was faster: then it is asked again."""

    def putter(self) -> Put:
        put_within = self.queue.put

        def put(item: Any) -> None:
            while True:
                try:
                    return put_within(item, timeout=WAIT_S)  # type: ignore[no-any-return]
                except standard_queue.Full:
                    continue

        return put

    def getter(self) -> Get:
        get_within = self.queue.get

        def get() -> Any:
            while True:
                try:
                    return get_within(timeout=WAIT_S)
                except standard_queue.Empty:
                    continue

        return get

    def batch_taker(self, batch: int, visit: Visit) -> Step:
        get_many = self.queue.get_many

        def take() -> None:
            items: list[Any] = []
            while len(items) < batch:
                with contextlib.suppress(standard_queue.Empty):
                    items += get_many(max_messages_to_get=batch - len(items), timeout=WAIT_S)
            visit(stack(items))

        return take


class Dejaq(Contender):
    """A ring of bytes in shared memory, with pickle protocol 5 and its buffers out of band.

    `get` makes a deep copy. A callback can look at the item in place and must not keep it: it fills
    a batch without that copy. (As a copy of single items it measured no faster than `get`.)
    """

    name = "dejaq"
    package = "dejaq"
    batch_method = "get with a callback that copies into the batch"

    def open(self, item: Any, maxsize: int) -> Channel:
        from dejaq import DejaQueue

        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(item, protocol=5, buffer_callback=buffers.append)
        payload_nbytes = len(head) + sum(buffer.raw().nbytes for buffer in buffers)
        message_nbytes = payload_nbytes + 4 * (2 + len(buffers))  # Their lengths come before them.
        # It never fills the last byte.
        return _DejaqChannel(DejaQueue(buffer_bytes=message_nbytes * maxsize + 1), item)


class _DejaqChannel(QueueChannel):
    def __init__(self, queue: Any, example: Any) -> None:
        super().__init__(queue)
        self.example = example

    def batch_taker(self, batch: int, visit: Visit) -> Step:
        get = self.queue.get

        def take() -> None:
            rows = empty_batch(self.example, batch)
            for row in range(batch):
                get(callback=functools.partial(_fill_row, rows, row))
            visit(rows)

        return take

    def close(self) -> None:
        self.queue.close()


class ArrayQueues(Contender):
    """Single arrays in a shared buffer, their places in a `multiprocessing.Queue`.

    It needs a NumPy before 2, and so an environment of its own. A `put` on a full queue raises
    instead of waiting, so it is tried again until it succeeds.
    """

    name = "arrayqueues"
    package = "arrayqueues"
    method = "put until it is not full, get a view"
    remark = "out of competition: hands out views that later puts overwrite; needs NumPy 1"

    def refusal(self, cell: Cell) -> str | None:
        return only_one_to_one(cell) or (
            None if cell.item.leaves == 1 else "takes single arrays only"
        )

    def open(self, item: Any, maxsize: int) -> Channel:
        from arrayqueues.shared_arrays import ArrayQueue

        # It never fills the last place. Half an item more, for it rounds down in millions of bytes.
        queue = ArrayQueue(item.nbytes * (maxsize + 1.5) / 1e6)
        queue.put(item)  # Whatever does not work should show now, not in the other processes.
        queue.get()
        return _ArrayQueuesChannel(queue)


class _ArrayQueuesChannel(QueueChannel):
    def putter(self) -> Put:
        put_once = self.queue.put

        def put(item: np.ndarray) -> None:
            while True:
                with contextlib.suppress(standard_queue.Full):
                    put_once(item)
                    return

        return put


class TorchMultiprocessing(Contender):
    """A `multiprocessing.Queue` whose pickles hold tensors as handles of shared memory.

    Nothing is copied: the first put of a tensor moves it into shared memory, and whoever gets it
    maps that same memory. Its strategy is file_system, since with file_descriptor, the default,
    every tensor asks a thread of the producer for its descriptor: many times slower.
    """

    name = "torch.multiprocessing"
    package = "torch"
    method = "put, get of tensors in shared memory, file_system"
    batch_method = "get, torch.stack"
    remark = "passes handles of the same memory, no copies: both sides see later changes"

    def open(self, item: Any, maxsize: int) -> Channel:
        import torch.multiprocessing

        # A tensor may take a descriptor in each process, and a soft limit of 1024 is common.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        torch.set_num_threads(1)  # What is stacked here is too small to be shared by threads.
        torch.multiprocessing.set_sharing_strategy("file_system")
        return _TorchChannel(torch.multiprocessing.get_context("fork").Queue(maxsize))


class _TorchChannel(QueueChannel):
    """The leaf that is checked is handed over as a NumPy view, which costs less than a tensor's
    element does."""

    def prepare(self, item: Any) -> Any:
        import torch

        if isinstance(item, np.ndarray):
            return torch.from_numpy(item)
        return {
            key: torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf
            for key, leaf in item.items()
        }

    def getter(self) -> Get:
        get_tensors = self.queue.get

        def get() -> Any:
            item = get_tensors()
            if not isinstance(item, dict):
                return item.numpy()
            key = next(iter(item))
            item[key] = item[key].numpy()
            return item

        return get

    def batch_taker(self, batch: int, visit: Visit) -> Step:
        import torch

        get = self.queue.get

        def take() -> None:
            items = [get() for _ in range(batch)]
            first = items[0]
            stacked = {
                key: torch.stack([item[key] for item in items])
                if isinstance(leaf, torch.Tensor)
                else torch.tensor([item[key] for item in items])
                for key, leaf in first.items()
            }
            visit({key: leaf.numpy() for key, leaf in stacked.items()})

        return take


def _fill_row(rows: Any, row: int, item: Any) -> None:
    if not isinstance(item, dict):
        rows[row] = item
        return
    for key, leaf in item.items():
        rows[key][row] = leaf
