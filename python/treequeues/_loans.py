"""What loans tell: about an item, and about views that outlived their loan."""

from __future__ import annotations

from typing import Any, NamedTuple, Self


class _OfAnItem(NamedTuple):
    ticket: int
    """Its place in the order of all items. Of a queue from 0 on, where a gap is no lost item:
    tickets are used up by loans that were aborted, and where a slot was held when its turn came.
    Of a topic from 1 on, without gaps."""
    put_time: float
    """When it was put: seconds since the Unix epoch, by CLOCK_REALTIME."""
    producer_pid: int
    """The process that put it, as that process sees its own number."""
    delivery_count: int
    """How often it was taken, this time included: 1 at the first delivery, more after a taker died
    or gave it back. Of a topic's item always 1."""


class ItemInfo(_OfAnItem):
    """What a queue or a topic knows about one item beside its tree.

    What it is a tuple of is what stands first; the rest is had by attribute alone.
    """

    missed: int = 0
    """How many items of a topic the subscription passed over just before it."""
    host: str | None = None
    """The host that a queue's item was put at, if it was brought from there: `put_time` and
    `producer_pid` are of that host then. None of an item that was put here."""

    def _replace(self, **fields: Any) -> Self:
        replaced = super()._replace(**fields)
        vars(replaced).update(vars(self))
        return replaced

    def __repr__(self) -> str:
        shown = super().__repr__()[:-1]
        return "".join([shown, *(f", {name}={value!r}" for name, value in vars(self).items()), ")"])


class HeldViewWarning(UserWarning):
    """A view of a loan's memory outlived the loan, and costs a copy or a slot.

    The message names the leaf and the mend. Each queue object gives it at most twice: once when a
    commit has to copy, and once when a call waits while its own process keeps slots.
    """
