"""The queues, each behind the same few calls. A package is imported in the round that needs it."""

from __future__ import annotations

import contextlib
import queue as standard_queue
import resource
import time
from typing import Any, ClassVar

import numpy as np

from benchmarks.contenders.base import CONTEXT, version_of

MAXSIZE = 4
# 128 KiB: a good part of the time goes into copies, where a kill does most harm.
LARGE = (512, 32)
# 1 KiB: hardly any does, and no pipe or ring of bytes is ever too small for the next item.
SMALL = (4, 32)
_REST_NBYTES = 12_000  # What the largest pickle of an item holds beside the frame.
Mark = tuple[int, int]  # Producer and number.


class Torn(Exception):
    """An item that is not one whole item."""


class Peer:
    """One queue of the test. It is opened in the round's first process, and inherited by fork."""

    name: ClassVar[str]
    package: ClassVar[str | None]  # The distribution on PyPI, or None for the standard library's.
    remark: ClassVar[str] = ""
    several: ClassVar[bool] = True  # Whether it is made for several producers and consumers.
    has_loans: ClassVar[bool] = False

    queue: Any

    def __init__(self, frame: tuple[int, int] = LARGE) -> None:
        self.frame = frame
        self.nbytes = int(np.prod(frame)) * 8

    def version(self) -> str:
        return version_of(self.package)

    def open(self) -> None:
        raise NotImplementedError

    def put(self, item: Any, timeout: float) -> None:
        """Raises queue.Full."""
        self.queue.put(item, timeout=timeout)

    def get(self, timeout: float) -> Any:
        """Raises queue.Empty."""
        return self.queue.get(timeout=timeout)

    def item(self, producer: int, number: int) -> Any:
        return {
            "producer": np.full(3, producer, np.int64),
            "frame": np.full(self.frame, (producer << 32) | number, np.int64),
            "number": np.full(65, number, np.int64),
        }

    def leaves(self, item: Any) -> list[np.ndarray]:
        """Arrays of the item as it stands, without a copy."""
        return [item["producer"], item["frame"], item["number"]]

    def overwrite(self, item: Any) -> None:
        """Writes something else into every array of an item."""
        for leaf in self.leaves(item):
            leaf[...] = -1

    def read(self, item: Any) -> Mark:
        """Who put an item. Raises Torn unless every element says the same."""
        producers, frame, numbers = self.leaves(item)
        mark = int(producers[0]), int(numbers[0])
        whole = (producers == mark[0]).all() and (numbers == mark[1]).all()
        if not (whole and (frame == (mark[0] << 32) | mark[1]).all()):
            raise Torn(f"{producers[:3]}, {np.unique(frame)[:4]}, {np.unique(numbers)[:4]}")
        return mark

    def unfit(self) -> Any:
        """Something that cannot be put."""
        return lambda: None  # It has no name to be pickled by.


class TreeQueues(Peer):
    name = "treequeues"
    package = "treequeues"
    has_loans = True

    def open(self) -> None:
        from treequeues import TreeQueue

        self.queue = TreeQueue(self.item(0, 0), MAXSIZE)

    def unfit(self) -> Any:
        return {**self.item(0, 0), "frame": np.zeros((3, 3), np.int64)}


class MultiprocessingQueue(Peer):
    name = "multiprocessing.Queue"
    package = None

    def open(self) -> None:
        self.queue = CONTEXT.Queue(MAXSIZE)


class FasterFifo(Peer):
    """It reports Full or Empty before the timeout when somebody else was faster; callers ask
    again."""

    name = "faster-fifo"
    package = "faster-fifo"

    def open(self) -> None:
        import faster_fifo

        self.queue = faster_fifo.Queue(
            max_size_bytes=MAXSIZE * (self.nbytes + _REST_NBYTES), maxsize=MAXSIZE
        )


class Dejaq(Peer):
    name = "dejaq"
    package = "dejaq"
    remark = "holds bytes, not a number of items"

    def open(self) -> None:
        from dejaq import DejaQueue

        self.queue = DejaQueue(buffer_bytes=MAXSIZE * (self.nbytes + _REST_NBYTES))

    def put(self, item: Any, timeout: float) -> None:
        try:
            self.queue.put(item, timeout=timeout)
        except TimeoutError as error:
            raise standard_queue.Full from error

    def get(self, timeout: float) -> Any:
        try:
            return self.queue.get(timeout=timeout)
        except TimeoutError as error:
            raise standard_queue.Empty from error

    def unfit(self) -> Any:
        return open("/dev/null")


class TorchMultiprocessing(Peer):
    """As it is without further settings: tensors go as descriptors, which the receiver asks the
    sender for."""

    name = "torch.multiprocessing"
    package = "torch"
    strategy: ClassVar[str] = "file_descriptor"
    remark = "its default sharing strategy, file_descriptor; the sender has to live until the get"

    def open(self) -> None:
        import torch.multiprocessing

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        torch.set_num_threads(1)
        torch.multiprocessing.set_sharing_strategy(self.strategy)
        self.queue = torch.multiprocessing.get_context("fork").Queue(MAXSIZE)

    def item(self, producer: int, number: int) -> Any:
        import torch

        arrays = super().item(producer, number)
        return {key: torch.from_numpy(array) for key, array in arrays.items()}

    def leaves(self, item: Any) -> list[np.ndarray]:
        return [item[key].numpy() for key in ("producer", "frame", "number")]

    def overwrite(self, item: Any) -> None:
        # By torch: a thread may be moving them to shared memory, away from under a NumPy view.
        for tensor in item.values():
            tensor.fill_(-1)


class TorchFileSystem(TorchMultiprocessing):
    name = "torch.multiprocessing, file_system"
    strategy = "file_system"
    remark = "tensors are files in /dev/shm, which a helper process removes"


class ArrayQueues(Peer):
    """A put on a full queue raises at once, so it is tried again."""

    name = "arrayqueues"
    package = "arrayqueues"
    remark = "made for one producer and one consumer; needs NumPy 1; single arrays"
    several = False

    def open(self) -> None:
        from arrayqueues.shared_arrays import ArrayQueue

        # It never fills the last place, and rounds down in millions of bytes.
        self.queue = ArrayQueue(self.nbytes * (MAXSIZE + 1.5) / 1e6)

    def put(self, item: Any, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(standard_queue.Full):
                self.queue.put(item)
                return
            time.sleep(0.0005)
        raise standard_queue.Full

    def item(self, producer: int, number: int) -> Any:
        return np.full(self.frame, (producer << 32) | number, np.int64)

    def leaves(self, item: Any) -> list[np.ndarray]:
        return [item]

    def read(self, item: Any) -> Mark:
        first = int(item.flat[0])
        if not (item == first).all():
            raise Torn(f"{np.unique(item)[:4]}")
        return first >> 32, first & 0xFFFFFFFF

    def unfit(self) -> Any:
        return "no array"


PEERS: tuple[type[Peer], ...] = (
    TreeQueues,
    MultiprocessingQueue,
    FasterFifo,
    Dejaq,
    TorchMultiprocessing,
    TorchFileSystem,
    ArrayQueues,
)


def peer_of(name: str, frame: tuple[int, int] = LARGE) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)(frame)
