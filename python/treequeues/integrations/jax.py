"""Nodes that are registered with JAX."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any


def find(cls: type) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """The flatten and unflatten of a class registered with JAX, if that is imported."""
    jax = sys.modules.get("jax")
    tree_util = getattr(jax, "tree_util", None)
    registry = getattr(tree_util, "default_registry", None)
    # A version without these functions, or a JAX that is only half imported, counts as no JAX.
    is_node = getattr(registry, "is_node", None)
    if tree_util is None or registry is None or is_node is None or not is_node(cls):
        return None
    leaf = tree_util.tree_structure(0)

    def unflatten(aux: Any, children: Iterable[Any]) -> Any:
        children = list(children)
        make = tree_util.PyTreeDef.from_node_data_and_children
        return make(registry, (cls, aux), [leaf] * len(children)).unflatten(children)

    return registry.flatten_one_level, unflatten
