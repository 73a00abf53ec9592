"""What loans tell: about an item, and about views that outlived their loan."""

from __future__ import annotations

from typing import NamedTuple


class ItemInfo(NamedTuple):
    """What a queue knows about one item beside its tree."""

    ticket: int
    """Its place in the order of all items of the queue, from 0 on. A gap is no lost item: tickets
    are used up by loans that were aborted, and where a slot was held when its turn came."""
    put_time: float
    """When it was put: seconds since the Unix epoch, by CLOCK_REALTIME."""
    producer_pid: int
    """The process that put it, as that process sees its own number."""
    delivery_count: int
    """How often it was taken, this time included: 1 at the first delivery, more after a taker died
    or gave it back."""


class HeldViewWarning(UserWarning):
    """A view of a loan's memory outlived the loan, and costs a copy or a slot.

    The message names the leaf and the mend. Each queue object gives it at most twice: once when a
    commit has to copy, and once when a call waits while its own process keeps slots.
    """
