"""Nodes that are registered with torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def find(cls: type) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """The flatten and unflatten of a class registered with torch, if that is imported."""
    pytree = sys.modules.get("torch.utils._pytree")
    # torch has no public way to look a node up; where this table is gone, nothing is found.
    entry = getattr(pytree, "SUPPORTED_NODES", {}).get(cls)
    if entry is None:
        return None
    # torch's unflatten takes the children first.
    return entry.flatten_fn, lambda aux, children: entry.unflatten_fn(list(children), aux)
