"""The queues that are compared, each used as well as its documentation allows.

C1. What a contender hands out is the receiver's own: later puts do not change it. (The one that
    cannot promise this says so in its docstring.)
C2. Each may hold `maxsize` items. Those that count bytes get room for as many.
C3. A contender whose package is missing or fails is a row with the reason, never left out.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import multiprocessing
import pickle
import platform
import queue as standard_queue
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CONTEXT = multiprocessing.get_context("fork")  # The one start method that all of them know.
WAIT_S = 600.0  # For those that cannot wait without a limit. The run's own watchdog is shorter.


class Channel(NamedTuple):
    """One queue, ready for use by the processes forked from now on."""

    put: Callable[[Any], object]
    get: Callable[[], Any]


class Contender:
    """One row of the table. `open` makes a new queue for items like `item`."""

    name: str
    package: str | None  # The distribution on PyPI, or None for the standard library's.
    method = "put, get"  # What is measured, for the record.

    @property
    def version(self) -> str:
        if self.package is None:
            return f"Python {platform.python_version()}"
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    def open(self, item: Any, maxsize: int) -> Channel:
        raise NotImplementedError


class MultiprocessingQueue(Contender):
    name = "multiprocessing.Queue"
    package = None

    def open(self, item: Any, maxsize: int) -> Channel:
        queue = CONTEXT.Queue(maxsize)
        return Channel(queue.put, queue.get)


class FasterFifo(Contender):
    """A ring of bytes behind a POSIX mutex, in C++.

    It takes a serializer of one's own, so it gets pickle protocol 5, which spares large arrays the
    copy that the default protocol makes.
    """

    name = "faster-fifo"
    package = "faster-fifo"
    method = "put, get; pickle protocol 5"

    def open(self, item: Any, maxsize: int) -> Channel:
        import faster_fifo

        dumps = functools.partial(pickle.dumps, protocol=5)
        message_nbytes = len(dumps(item)) + 8  # It writes each message's length before it.
        queue = faster_fifo.Queue(
            max_size_bytes=message_nbytes * maxsize, maxsize=maxsize, dumps=dumps
        )
        return Channel(
            functools.partial(queue.put, timeout=WAIT_S),
            functools.partial(queue.get, timeout=WAIT_S),
        )


class Dejaq(Contender):
    """A ring of bytes in shared memory, with pickle protocol 5 and its buffers out of band.

    `get` makes a deep copy. (Its callback could look at the item in place, but must not keep it.)
    """

    name = "dejaq"
    package = "dejaq"

    def open(self, item: Any, maxsize: int) -> Channel:
        from dejaq import DejaQueue

        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(item, protocol=5, buffer_callback=buffers.append)
        payload_nbytes = len(head) + sum(buffer.raw().nbytes for buffer in buffers)
        message_nbytes = payload_nbytes + 4 * (2 + len(buffers))  # Their lengths come before them.
        queue = DejaQueue(
            buffer_bytes=message_nbytes * maxsize + 1
        )  # It never fills the last byte.
        return Channel(queue.put, queue.get)


class ArrayQueues(Contender):
    """Single arrays in a shared buffer, their places in a `multiprocessing.Queue`.

    It is out of competition: `get` returns a view that a later `put` overwrites, and a `put` on a
    full queue raises instead of waiting, so it is tried again until it succeeds.
    """

    name = "arrayqueues"
    package = "arrayqueues"
    method = "put until it is not full, get a view"

    def open(self, item: Any, maxsize: int) -> Channel:
        from arrayqueues.shared_arrays import ArrayQueue

        if not isinstance(item, np.ndarray):
            raise TypeError("takes single arrays only")
        queue = ArrayQueue(item.nbytes * (maxsize + 1) / 1e6)  # It never fills the last place.
        queue.put(item)  # Whatever does not work should show now, not in the other processes.
        queue.get()

        def put(item: np.ndarray) -> None:
            while True:
                with contextlib.suppress(standard_queue.Full):
                    queue.put(item)
                    return

        return Channel(put, queue.get)


class TreeQueues(Contender):
    name = "treequeues"
    package = "treequeues"

    def open(self, item: Any, maxsize: int) -> Channel:
        from treequeues import TreeQueue

        queue = TreeQueue(item, maxsize)
        return Channel(queue.put, queue.get)


class TreeQueuesOut(Contender):
    """The same, into one and the same tree of arrays each time."""

    name = "treequeues, out="
    package = "treequeues"
    method = "put, get(out=)"

    def open(self, item: Any, maxsize: int) -> Channel:
        from treequeues import TreeQueue

        queue = TreeQueue(item, maxsize)
        # Arrays of its own, not views of the pickle: those would be read-only.
        out = pickle.loads(pickle.dumps(item, protocol=4))
        return Channel(queue.put, functools.partial(queue.get, out=out))


CONTENDERS: list[Contender] = [
    MultiprocessingQueue(),
    FasterFifo(),
    Dejaq(),
    ArrayQueues(),
    TreeQueues(),
    TreeQueuesOut(),
]
OURS = "treequeues"  # The contender that is judged: it promises the least, so `out=` is extra.
