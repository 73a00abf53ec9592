"""What Python brings, and a stand-in that costs nothing."""

from __future__ import annotations

import itertools
import pickle
import time
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import cells
from benchmarks.cells import BASELINE, CHECK, Cell
from benchmarks.contenders.base import (
    CONTEXT,
    Channel,
    Contender,
    Get,
    Put,
    QueueChannel,
    Step,
    Visit,
    only_one_to_one,
    stack,
)
from benchmarks.items import SAMPLES

# Smaller arrays go into the pickle: a message of their own costs more than the copy.
OUT_OF_BAND_NBYTES = 16 * 1024


class MultiprocessingQueue(Contender):
    name = BASELINE
    package = None

    def open(self, item: Any, maxsize: int) -> Channel:
        return QueueChannel(CONTEXT.Queue(maxsize))


class MultiprocessingPipe(Contender):
    """A two-way pipe, which is a pair of sockets: for large messages faster than a one-way pipe.

    Of the ways to send a tree through it (`send`, one pickle of protocol 5, its buffers as messages
    of their own, received as bytes or into an array), this was the fastest, or close to it, at
    every size.
    """

    name = "multiprocessing.Pipe"
    package = None
    method = "pickle protocol 5, buffers of 16 KiB and more by send_bytes, recv_bytes"
    remark = "one to one; holds as many bytes as its sockets do; large arrays come out read-only"

    def refusal(self, cell: Cell) -> str | None:
        return only_one_to_one(cell)

    def open(self, item: Any, maxsize: int) -> Channel:
        return _PipeChannel()


class _PipeChannel(Channel):
    def __init__(self) -> None:
        self.ends: tuple[Connection, Connection] = CONTEXT.Pipe()

    def putter(self) -> Put:
        send, dumps = self.ends[0].send_bytes, pickle.dumps

        def put(item: Any) -> None:
            buffers: list[memoryview] = []

            def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
                raw = buffer.raw()
                if raw.nbytes < OUT_OF_BAND_NBYTES:
                    return True
                buffers.append(raw)
                return False

            head = dumps(item, protocol=5, buffer_callback=keep_in_band)
            send(len(buffers).to_bytes(4, "little") + head)
            for buffer in buffers:
                send(buffer)

        return put

    def getter(self) -> Get:
        receive, loads = self.ends[1].recv_bytes, pickle.loads

        def get() -> Any:
            head = memoryview(receive())
            count = int.from_bytes(head[:4], "little")
            return loads(head[4:], buffers=[receive() for _ in range(count)])

        return get

    def close(self) -> None:
        for end in self.ends:
            end.close()


class TheCheckAlone(Contender):
    """A get that returns a ready item: what the loop around a get and its check cost.

    It is part of every other figure; who wants a queue's own share subtracts it.
    """

    name = CHECK
    package = None
    extra = True
    measures = frozenset({cells.STREAM, cells.BATCHES})
    method = "no queue: a ready item each time"
    batch_method = "no queue: a ready batch each time"

    def refusal(self, cell: Cell) -> str | None:
        return only_one_to_one(cell)

    def open(self, item: Any, maxsize: int) -> Channel:
        return _ReadyItems()


class _ReadyItems(Channel):
    def __init__(self) -> None:
        self.samples: list[Any] = []

    def prepare(self, item: Any) -> Any:
        self.samples.append(item)
        return item

    def putter(self) -> Put:
        return lambda item: time.sleep(1)

    def getter(self) -> Get:
        assert len(self.samples) == SAMPLES
        return itertools.cycle(self.samples).__next__

    def batch_taker(self, batch: int, visit: Visit) -> Step:
        get = self.getter()
        ready = [stack([get() for _ in range(batch)]) for _ in range(SAMPLES)]
        batches = itertools.cycle(ready)
        return lambda: visit(next(batches))
