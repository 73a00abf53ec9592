"""What `TreeQueue.stats()` returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What was in a queue at one moment.

    The slots are counted one by one: while other processes work, each count is of a slightly
    different moment, but `qsize + free + writing + reading + lingering` is always `maxsize`, unless
    the queue was shut down with `immediate=True`, which puts what was left out of reach.
    """

    maxsize: int
    """Slots of the queue: the most items that it can hold."""
    qsize: int
    """Items that can be taken."""
    free: int
    """Slots that can be filled."""
    writing: int
    """Slots that are being filled."""
    reading: int
    """Slots that are being read."""
    lingering: int
    """Slots whose readers or writers are done, while views of them still live."""
    participants: int
    """Processes attached to the queue. One that died counts until somebody finds it dead."""
    item_nbytes: int
    """Bytes of one item's leaves."""
    nbytes: int
    """Bytes of shared memory that the queue takes in all."""
    is_shut_down: bool
    """Whether `shutdown` was called, in any process."""
