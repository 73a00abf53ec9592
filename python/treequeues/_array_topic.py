"""A topic of single arrays."""

from __future__ import annotations

from typing import Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from treequeues._arrays import example_of_arrays, refuse_trees
from treequeues._core import TreeTopic

ScalarT = TypeVar("ScalarT", bound=np.generic)


class ArrayTopic(TreeTopic[NDArray[ScalarT]]):
    """A `TreeTopic` whose items are single arrays.

    array: an example: an array, or anything that has a shape and a dtype. Its contents are not
        used.
    maxsize: slots of the topic, at least 2.
    name: under which any process of this user can attach.
    keep: whether a named topic, with its last items, outlives its last participant.
    participants: how many processes can be attached at a time.
    populate: whether each process makes its page tables for all slots when it attaches, instead of
        at their first use.

    Raises as `TreeTopic` does, and TypeError if the example is a tree or a scalar.
    """

    @overload
    def __init__(
        self,
        array: NDArray[ScalarT],
        maxsize: int = 4,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 64,
        populate: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self,
        array: Any,
        maxsize: int = 4,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 64,
        populate: bool = False,
    ) -> None: ...
    def __init__(
        self,
        array: Any,
        maxsize: int = 4,
        *,
        name: str | None = None,
        keep: bool = False,
        participants: int = 64,
        populate: bool = False,
    ) -> None:
        super().__init__(
            example_of_arrays(array, "ArrayTopic", "TreeTopic"),
            maxsize,
            name=name,
            keep=keep,
            participants=participants,
            populate=populate,
        )

    @classmethod
    def attach(cls, name: str) -> Self:
        """Attach to the topic of this name: see `TreeTopic.attach`.

        Raises SchemaError too, if its items are trees.
        """
        topic = super().attach(name)
        refuse_trees(topic, "topic", "TreeTopic")
        return topic

    @classmethod
    def open(
        cls,
        name: str,
        nested_array: Any,
        maxsize: int = 4,
        *,
        keep: bool = False,
        participants: int = 64,
        populate: bool = False,
    ) -> Self:
        """Attach to the topic of this name, or create it: see `TreeTopic.open`."""
        return super().open(
            name,
            example_of_arrays(nested_array, "ArrayTopic", "TreeTopic"),
            maxsize,
            keep=keep,
            participants=participants,
            populate=populate,
        )
