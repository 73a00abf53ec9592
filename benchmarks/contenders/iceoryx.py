"""iceoryx2 from Python: publish and subscribe through shared memory, written and read in place.

It is no queue: every subscriber gets every sample, so it takes part one to one. It has no trees
either: an item is laid out as a NumPy record, whose fields are filled in the loaned memory, and
which the receiver copies out at once (C1). `receive` does not wait, so the getter asks again and
again, and a publisher waits in the same way for room: fast, at the price of a processor each.

A publisher waits for room only where a subscriber has looked already; else what is too much is
lost. So the first put waits until the getter has looked in vain with the publisher there.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks import cells
from benchmarks.cells import Cell
from benchmarks.contenders.base import (
    Channel,
    Contender,
    Get,
    Put,
    Step,
    Visit,
    only_one_to_one,
)

PUBLISHED, MET = 0, 1  # Shared bytes: a publisher is there; a subscriber has looked since.
LEAF = "leaf"  # The one field of an item that is a bare array.
view_of: Any = np.frombuffer  # Whose stub knows no ctypes arrays.
POLL_S = 0.001  # Between two looks whether the subscriber is there, before the first put.


class Iceoryx2(Contender):
    name = "iceoryx2"
    package = "iceoryx2"
    measures = Contender.measures | {cells.LOANS}
    method = "loan, fill in place, send; receive by polling, copy out"
    batch_method = "receive by polling, copy each record into the batch"
    remark = "publish-subscribe, one to one; polls instead of waiting"

    def refusal(self, cell: Cell) -> str | None:
        return only_one_to_one(cell)

    def open(self, item: Any, maxsize: int) -> Channel:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        return _IceoryxChannel(item, maxsize)

    def clean_up(self) -> None:
        # In a new process: this one, which forked the dead, takes their nodes for living ones.
        program = "import iceoryx2 as i; i.NodeBuilder.new().create(i.ServiceType.Ipc)"
        subprocess.run([sys.executable, "-c", program], check=False)

    def loan_steps(self, item: np.ndarray, slots: int) -> tuple[Step, Step]:
        import iceoryx2

        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        channel = _IceoryxChannel(item, slots)
        subscriber, publisher = channel.subscriber(), channel.publisher()
        address_type = ctypes.c_uint8 * item.nbytes

        def write() -> None:
            sample = publisher.loan_slice_uninit(item.nbytes)
            view = view_of(address_type.from_address(sample.payload_ptr), np.uint8)
            view[0] = 1
            sample.assume_init().send()

        def read() -> None:
            sample = subscriber.receive()
            view = view_of(address_type.from_address(sample.payload_ptr), np.uint8)
            if view.item(0) != 1:
                raise ValueError("an item did not come as it was sent")
            sample.delete()

        return write, read


class _IceoryxChannel(Channel):
    """A service. Each process that uses it makes a node and a port of its own."""

    numbers = itertools.count()

    def __init__(self, example: Any, maxsize: int) -> None:
        self.name = f"treequeues-bench/{os.getpid()}/{next(self.numbers)}"
        self.maxsize = maxsize
        self.is_tree = isinstance(example, dict)
        tree = example if self.is_tree else {LEAF: example}
        leaves = {key: np.asarray(leaf) for key, leaf in tree.items()}
        self.scalars = [key for key, leaf in tree.items() if not isinstance(leaf, np.ndarray)]
        # Aligned, as fields of a C struct are.
        self.record = np.dtype(
            [(key, leaf.dtype, leaf.shape) for key, leaf in leaves.items()], align=True
        )
        self.shared = mmap.mmap(-1, mmap.PAGESIZE)
        self.kept: list[Any] = []  # Nodes and services, which live as long as their ports.

    def publisher(self) -> Any:
        import iceoryx2

        service = self._service()
        builder = service.publisher_builder().initial_max_slice_len(self.record.itemsize)
        publisher = builder.backpressure_strategy(
            iceoryx2.BackpressureStrategy.RetryUntilDelivered
        ).create()
        self.shared[PUBLISHED] = 1
        return publisher

    def subscriber(self) -> Any:
        return self._service().subscriber_builder().buffer_size(self.maxsize).create()

    def putter(self) -> Put:
        publisher, nbytes, record = self.publisher(), self.record.itemsize, self.record
        address_type = ctypes.c_uint8 * nbytes
        names = list(record.names or ())
        met = False

        def meet() -> bool:
            while not self.shared[MET]:
                time.sleep(POLL_S)
            return True

        def put(item: Any) -> None:
            nonlocal met
            met = met or meet()
            sample = publisher.loan_slice_uninit(nbytes)
            place = view_of(address_type.from_address(sample.payload_ptr), record)
            for name in names:
                place[name] = item[name]
            sample.assume_init().send()

        def put_array(item: np.ndarray) -> None:
            nonlocal met
            met = met or meet()
            sample = publisher.loan_slice_uninit(nbytes)
            place = view_of(address_type.from_address(sample.payload_ptr), item.dtype)
            place[...] = item.reshape(-1)
            sample.assume_init().send()

        return put if self.is_tree else put_array

    def receivers(self) -> tuple[Get, Get]:
        """What receives a sample or None, and what polls until one is there."""
        receive, shared = self.subscriber().receive, self.shared

        def poll() -> Any:
            published = 0
            while (sample := receive()) is None:
                shared[MET] = published
                published = shared[PUBLISHED]
            return sample

        return receive, poll

    def getter(self) -> Get:
        (receive, poll), nbytes, record = self.receivers(), self.record.itemsize, self.record
        address_type = ctypes.c_uint8 * nbytes
        scalars = frozenset(self.scalars)
        arrays = [name for name in record.names or () if name not in scalars]

        def get() -> Any:
            sample = receive() or poll()
            # One copy of the whole record; the leaves are views of it.
            place = view_of(address_type.from_address(sample.payload_ptr), np.uint8)
            copy = place.copy().view(record)
            sample.delete()
            item: dict[str, Any] = {name: copy[name][0] for name in arrays}
            for name in scalars:
                item[name] = copy[name].item()
            return item

        if self.is_tree:
            return get
        dtype, shape = record[LEAF].base, record[LEAF].shape

        def get_array() -> np.ndarray:
            sample = receive() or poll()
            place = view_of(address_type.from_address(sample.payload_ptr), dtype)
            copy: np.ndarray = place.reshape(shape).copy()
            sample.delete()
            return copy

        return get_array

    def batch_taker(self, batch: int, visit: Visit) -> Step:
        (receive, poll), nbytes, record = self.receivers(), self.record.itemsize, self.record
        address_type = ctypes.c_uint8 * nbytes

        def take() -> None:
            # The leaves of a batch of records are strided views, no copies.
            rows = np.empty(batch, record)
            for place in rows.view(np.uint8).reshape(batch, nbytes):
                sample = receive() or poll()
                place[...] = view_of(address_type.from_address(sample.payload_ptr), np.uint8)
                sample.delete()
            visit({name: rows[name] for name in record.names or ()})

        return take

    def _service(self) -> Any:
        import iceoryx2

        # Making a node also removes what dead ones left: those of earlier measurements.
        node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        builder = node.service_builder(iceoryx2.ServiceName.new(self.name))
        service = (
            builder.publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
            .payload_alignment(iceoryx2.Alignment.new(64))
            .max_publishers(1)
            .max_subscribers(1)
            .history_size(0)
            .subscriber_max_buffer_size(self.maxsize)
            .subscriber_max_borrowed_samples(2)
            .enable_safe_overflow(False)
            .open_or_create()
        )
        self.kept += [node, service]
        return service
