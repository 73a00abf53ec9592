"""Batches until the end: what `TreeQueue.batches` returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from treequeues._core import ShutDown, TreeQueue

T = TypeVar("T")


def batches(queue: TreeQueue[T], n: int, drop_last: bool, timeout: float | None) -> Iterator[T]:
    """Batches of n items until the queue is shut down and fewer are left; then those, if wanted."""
    try:
        while True:
            yield queue.get_batch(n, timeout=timeout)
    except ShutDown:
        pass
    while not drop_last:
        # Other consumers may take the rest too, or give more of it back.
        try:
            batch = queue.get_batch(n, min=1, timeout=timeout)
        except ShutDown:
            return
        yield batch
