"""A queue of single arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from treequeues._arrays import example_of_arrays, refuse_trees
from treequeues._core import TreeQueue
from treequeues._loans import ItemInfo

ScalarT = TypeVar("ScalarT", bound=np.generic)


class ArrayQueue(TreeQueue[NDArray[ScalarT]]):
    """A `TreeQueue` whose items are single arrays.

    array: an example: an array, or anything that has a shape and a dtype. Its contents are not
        used.
    maxsize: slots of the queue, at least 1.
    name: under which any process of this user can attach.
    keep: whether a named queue outlives its last participant.
    participants: how many processes can be attached at a time.
    populate: whether each process makes its page tables for all slots when it attaches, instead of
        at their first use.
    max_deliveries: drops an item that has killed so many takers; None for no limit.
    overflow: what a put does that finds the queue full: it waits ("block"), or drops the oldest
        item ("drop_oldest").
    producers: how many producers there will be, each in a block of `producing`.
    on_drop: what this process hands items to that killed: a function of the array and its ItemInfo,
        or a queue of the same arrays.

    Raises as `TreeQueue` does, and TypeError if the example is a tree or a scalar.
    """

    @overload
    def __init__(
        self,
        array: NDArray[ScalarT],
        maxsize: int,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 256,
        populate: bool = False,
        max_deliveries: int | None = None,
        overflow: Literal["block", "drop_oldest"] = "block",
        producers: int | None = None,
        on_drop: Callable[[NDArray[ScalarT], ItemInfo], object]
        | TreeQueue[NDArray[ScalarT]]
        | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        array: Any,
        maxsize: int,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 256,
        populate: bool = False,
        max_deliveries: int | None = None,
        overflow: Literal["block", "drop_oldest"] = "block",
        producers: int | None = None,
        on_drop: Callable[[NDArray[ScalarT], ItemInfo], object]
        | TreeQueue[NDArray[ScalarT]]
        | None = None,
    ) -> None: ...
    def __init__(
        self,
        array: Any,
        maxsize: int,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 256,
        populate: bool = False,
        max_deliveries: int | None = None,
        overflow: Literal["block", "drop_oldest"] = "block",
        producers: int | None = None,
        on_drop: Callable[[NDArray[ScalarT], ItemInfo], object]
        | TreeQueue[NDArray[ScalarT]]
        | None = None,
    ) -> None:
        super().__init__(
            example_of_arrays(array, "ArrayQueue", "TreeQueue"),
            maxsize,
            name=name,
            keep=keep,
            participants=participants,
            populate=populate,
            max_deliveries=max_deliveries,
            overflow=overflow,
            producers=producers,
            on_drop=on_drop,
        )

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        on_drop: Callable[[NDArray[ScalarT], ItemInfo], object]
        | TreeQueue[NDArray[ScalarT]]
        | None = None,
    ) -> Self:
        """Attach to the queue of this name: see `TreeQueue.attach`.

        Raises SchemaError too, if its items are trees.
        """
        queue = super().attach(name, on_drop=on_drop)
        refuse_trees(queue, "queue", "TreeQueue")
        return queue

    @classmethod
    def open(
        cls,
        name: str,
        nested_array: Any,
        maxsize: int,
        *,
        keep: bool = False,
        participants: int = 256,
        populate: bool = False,
        max_deliveries: int | None = None,
        overflow: Literal["block", "drop_oldest"] = "block",
        producers: int | None = None,
        on_drop: Callable[[NDArray[ScalarT], ItemInfo], object]
        | TreeQueue[NDArray[ScalarT]]
        | None = None,
    ) -> Self:
        """Attach to the queue of this name, or create it: see `TreeQueue.open`."""
        return super().open(
            name,
            example_of_arrays(nested_array, "ArrayQueue", "TreeQueue"),
            maxsize,
            keep=keep,
            participants=participants,
            populate=populate,
            max_deliveries=max_deliveries,
            overflow=overflow,
            producers=producers,
            on_drop=on_drop,
        )
