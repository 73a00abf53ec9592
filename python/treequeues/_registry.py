"""Nodes of classes that treequeues does not know by itself.

A registered class is a container: flattening an object gives its children and its aux data, and
unflattening makes an object of them again. `find` also looks where the libraries optree, JAX and
torch keep theirs, but imports none.

All flatten and unflatten functions have one convention here, that of JAX's `register_pytree_node`:
`flatten(obj) -> (children, aux)` and `unflatten(aux, children) -> obj`.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from treequeues.integrations import jax, optree, torch

T = TypeVar("T")
Flatten = Callable[[Any], tuple[Iterable[Any], Any]]
Unflatten = Callable[[Any, Iterable[Any]], Any]

_BUILTIN_CONTAINERS = (dict, OrderedDict, defaultdict, list, tuple, type(None))
_BUILTIN_LEAVES = (bool, int, float, complex, np.ndarray)

_nodes: dict[type, tuple[Flatten, Unflatten]] = {}


def register_node(
    cls: type[T],
    flatten: Callable[[T], tuple[Iterable[Any], Any]],
    unflatten: Callable[[Any, Iterable[Any]], T],
) -> None:
    """Make the objects of a class nodes of trees, as `jax.tree_util.register_pytree_node` does.

    It counts for objects whose type is exactly `cls`, and for queues made or attached afterwards,
    in this process (and in those forked from it). Register in the module of the class, so that
    every process that imports the class knows the node; a process that does not gets a tuple of
    the children.

    `flatten(obj)` returns the children, in an order and number that never change, and the aux data:
    None, a str, an int, a float, a bool, a bytes, or a tuple of these. The aux data is part of the
    structure: all items of a queue have that of the example. `unflatten(aux, children)` returns an
    object.

    Raises ValueError if the class is registered already, or is a container or a leaf anyway.
    """
    if not isinstance(cls, type):
        raise TypeError(f"register_node expects a class, got {cls!r}")
    if not callable(flatten) or not callable(unflatten):
        raise TypeError("register_node expects flatten and unflatten to be callable")
    if cls in _BUILTIN_CONTAINERS:
        raise ValueError(f"{cls.__qualname__} is a node already")
    if cls in _BUILTIN_LEAVES or issubclass(cls, np.generic):
        raise ValueError(f"{cls.__qualname__} is a leaf, and cannot be a node as well")
    node = (flatten, unflatten)
    if _nodes.setdefault(cls, node) is not node:
        raise ValueError(f"{cls.__module__}.{cls.__qualname__} is registered already")


def find(cls: type) -> tuple[Flatten, Unflatten] | None:
    """The flatten and unflatten of a class, registered here or with a library that is imported."""
    node = _nodes.get(cls)
    # The libraries take named tuples for nodes, with the class as aux data; here they are known.
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return node
    for library in (optree, jax, torch):
        node = node or library.find(cls)
    return node
