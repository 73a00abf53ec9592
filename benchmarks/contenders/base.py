"""What a contender is, and what a measurement needs of it.

C1. What a contender hands out is the receiver's own: later puts do not change it. (Those that do
    not promise this say so in their `remark`.)
C2. Each may hold `maxsize` items. Those that count bytes get room for as many.
C3. A contender whose package is missing or fails is a row with the reason, never left out.
C4. A package is imported when a channel is opened, in the contender's own process.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import platform
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from benchmarks import cells
from benchmarks.cells import Cell

CONTEXT = multiprocessing.get_context("fork")  # The one start method that all of them know.
WAIT_S = 600.0  # For those that cannot wait without a limit. The run's own watchdog is shorter.

Put = Callable[[Any], object]
Get = Callable[[], Any]
Visit = Callable[[Any], None]  # Looks at an item or a batch, as long as it may be looked at.
Step = Callable[[], object]


def version_of(package: str | None) -> str:
    """The version of a distribution on PyPI, or of Python for the standard library's (None)."""
    if package is None:
        return f"Python {platform.python_version()}"
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


class NoFigure(Exception):
    """A contender that cannot be measured, with the reason."""


class Channel:
    """One queue, opened before the processes that use it are forked.

    `putter` and `getter` are called in the process that will put or get.
    """

    def prepare(self, item: Any) -> Any:
        """An item as this contender's users would have it, made before the clock starts."""
        return item

    def putter(self) -> Put:
        raise NotImplementedError

    def getter(self) -> Get:
        raise NotImplementedError

    def batch_putter(self, samples: list[Any], batch: int) -> Step:
        """Puts items of `samples` in turn, one or more at each call."""
        put, turn = self.putter(), _Turn(samples)
        return lambda: put(turn.next())

    def batch_taker(self, batch: int, visit: Visit) -> Step:
        """At each call takes `batch` items, stacked, and shows them to `visit`."""
        get = self.getter()
        return lambda: visit(stack([get() for _ in range(batch)]))

    def close(self) -> None:
        """Removes what the channel left outside the processes that used it, all of them dead."""


class Contender:
    """One queue of the comparison. `open` makes a new one for items like `item`."""

    name: ClassVar[str]
    package: ClassVar[str | None]  # The distribution on PyPI, or None for the standard library's.
    measures: ClassVar[frozenset[str]] = frozenset(
        {cells.STREAM, cells.ROUND_TRIP, cells.BATCHES}
    )  # What it takes part in.
    extra: ClassVar[bool] = False  # Whether it takes part only in cells that ask for extras.
    method: ClassVar[str] = "put, get"
    batch_method: ClassVar[str] = "get, numpy.stack"
    remark: ClassVar[str] = ""  # What a reader must know beside the figures.

    def version(self) -> str:
        return version_of(self.package)

    def takes_part(self, cell: Cell) -> bool:
        return cell.measure in self.measures and (cell.extras or not self.extra)

    def refusal(self, cell: Cell) -> str | None:
        """Why this contender cannot do what the cell asks for."""
        return None

    def open(self, item: Any, maxsize: int) -> Channel:
        raise NotImplementedError

    def clean_up(self) -> None:
        """Removes what killed processes left, when the contender's own process is about to end."""

    def loan_steps(self, item: np.ndarray, slots: int) -> tuple[Step, Step]:
        """In one process: writes one element in place and publishes; reads it in place."""
        raise NotImplementedError


class QueueChannel(Channel):
    """An object with `put` and `get`."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def putter(self) -> Put:
        put: Put = self.queue.put
        return put

    def getter(self) -> Get:
        get: Get = self.queue.get
        return get


def only_one_to_one(cell: Cell) -> str | None:
    if (cell.producers, cell.consumers) == (1, 1):
        return None
    return "one producer and one consumer only"


def stack(items: list[Any]) -> Any:
    """What a learner does with items that it got one by one."""
    first = items[0]
    if isinstance(first, np.ndarray):
        return np.stack(items)
    return {
        key: np.stack([item[key] for item in items])
        if isinstance(leaf, np.ndarray)
        else np.array([item[key] for item in items])
        for key, leaf in first.items()
    }


def empty_batch(item: Any, batch: int) -> Any:
    """Fresh arrays for a stacked batch of items like `item`."""
    if not isinstance(item, dict):
        leaf = np.asarray(item)
        return np.empty((batch, *leaf.shape), leaf.dtype)
    return {key: empty_batch(leaf, batch) for key, leaf in item.items()}


class _Turn:
    """Items in turn, for ever."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.number = -1

    def next(self) -> Any:
        self.number = (self.number + 1) % len(self.items)
        return self.items[self.number]
