"""What the classes of single arrays refuse."""

from __future__ import annotations

from typing import Any

import numpy as np

from treequeues._core import SchemaError, TreeQueue, TreeTopic
from treequeues._registry import find


def refuse_trees(of_arrays: TreeQueue[Any] | TreeTopic[Any], noun: str, tree_cls: str) -> None:
    """Close what was attached to, and raise SchemaError, if its items are no single arrays."""
    if of_arrays._is_of_arrays():
        return
    name = of_arrays.name
    of_arrays.close()
    raise SchemaError(
        f"the {noun} {name!r} holds trees or scalars, not single arrays: attach to it with "
        f"{tree_cls}"
    )


def example_of_arrays(array: Any, cls: str, tree_cls: str) -> Any:
    """The example of a class of arrays, if it is one; `tree_cls` is for what it refuses."""
    if isinstance(array, np.generic):
        raise TypeError(
            f"{cls} expects an array as its example, got a scalar, np.{type(array).__name__}; "
            f"use np.array(x) for arrays without dimensions, or {tree_cls} for scalars"
        )
    if find(type(array)) is not None:
        raise TypeError(
            f"{cls} expects an array as its example, got {type(array).__name__}, which is a "
            f"registered node; for trees of arrays use {tree_cls}"
        )
    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        raise TypeError(
            f"{cls} expects an array as its example, got {type(array).__name__}; "
            f"for trees of arrays use {tree_cls}"
        )
    return array
