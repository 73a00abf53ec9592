"""A queue of single arrays."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from treequeues._core import TreeQueue

ScalarT = TypeVar("ScalarT", bound=np.generic)


class ArrayQueue(TreeQueue[NDArray[ScalarT]]):
    """A `TreeQueue` whose items are single arrays.

    array: an example: an array, or anything that has a shape and a dtype. Its contents are not
        used.
    maxsize: slots of the queue, at least 1.
    participants: how many processes can be attached at a time.
    populate: whether each process makes its page tables for all slots when it attaches, instead of
        at their first use.

    Raises as `TreeQueue` does, and TypeError if the example is a tree.
    """

    @overload
    def __init__(
        self,
        array: NDArray[ScalarT],
        maxsize: int,
        *,
        participants: int = 256,
        populate: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self, array: Any, maxsize: int, *, participants: int = 256, populate: bool = False
    ) -> None: ...
    def __init__(
        self, array: Any, maxsize: int, *, participants: int = 256, populate: bool = False
    ) -> None:
        if not (hasattr(array, "shape") and hasattr(array, "dtype")):
            raise TypeError(
                f"ArrayQueue expects an array as its example, got {type(array).__name__}; "
                "for trees of arrays use TreeQueue"
            )
        super().__init__(array, maxsize, participants=participants, populate=populate)
