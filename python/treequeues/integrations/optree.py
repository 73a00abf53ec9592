"""Nodes that are registered with optree, in its global namespace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def find(cls: type) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """The flatten and unflatten of a class registered with optree, if that is imported."""
    optree = sys.modules.get("optree")
    lookup = getattr(getattr(optree, "register_pytree_node", None), "get", None)
    entry = lookup(cls) if lookup is not None else None
    # Named tuples are found here too, but they are known without optree.
    if entry is None or entry.kind.name not in ("CUSTOM", "DEQUE"):
        return None
    # optree's flatten may return a third part, the entries of paths.
    return (lambda obj: entry.flatten_func(obj)[:2]), entry.unflatten_func
