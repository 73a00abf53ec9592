"""What is sent: the items of the table of speeds, and the ratios that treequeues is to reach.

W1. An item is never changed after it was made. `multiprocessing.Queue` pickles it after `put` has
    returned, so whoever changed it would measure, and check, something else.
W2. The first element of an item's first leaf is the item's number among the samples, so that a
    consumer can tell in constant time that items come in order. It fits every leaf's dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MAXSIZE = 10  # Items, in every contender that can count items.
SAMPLES = 3  # Different items, put in turn. Few, because a real producer's item is in its caches.


@dataclass(frozen=True)
class Workload:
    """One row: an item, and `reach`, the least speed-up over each named contender."""

    name: str
    make_item: Callable[[int], Any]  # From the item's number among the samples.
    number_of: Callable[[Any], float]  # The reverse, of an item that was received.
    nbytes: int  # Of the arrays of one item.
    reach: dict[str, float]

    def samples(self) -> list[Any]:
        return [self.make_item(number) for number in range(SAMPLES)]


def _one_leaf(number: int) -> np.ndarray:
    return np.full(8, number, dtype=np.float64)


def _atari(number: int) -> dict[str, Any]:
    """A transition: four stacked frames, and three scalars as Python's own numbers."""
    frames = np.full((84, 84, 4), number, dtype=np.uint8)
    return {"obs": frames, "action": 3, "reward": 1.0, "done": False}


def _even(name: str, leaves: int, leaf_nbytes: int, reach: dict[str, float]) -> Workload:
    """A dict of `leaves` float32 arrays of equal size."""
    names = [f"leaf_{leaf}" for leaf in range(leaves)]

    def make_item(number: int) -> dict[str, np.ndarray]:
        return {leaf: np.full(leaf_nbytes // 4, number, dtype=np.float32) for leaf in names}

    return Workload(
        name, make_item, lambda item: item["leaf_0"].item(0), leaves * leaf_nbytes, reach
    )


BASELINE = "multiprocessing.Queue"

WORKLOADS = [
    Workload("1 leaf, 64 B", _one_leaf, lambda item: item.item(0), 64, {BASELINE: 60}),
    Workload(
        "4 leaves, 28 KB",
        _atari,
        lambda item: item["obs"].item(0),
        84 * 84 * 4,
        {BASELINE: 15},
    ),
    _even("10 leaves, 1 MB", 10, 100_000, {BASELINE: 20, "dejaq": 1.3}),
    _even("100 leaves, 1 MB", 100, 10_000, {BASELINE: 12, "dejaq": 4}),
    _even("10 leaves, 10 MB", 10, 1_000_000, {BASELINE: 18, "dejaq": 1.2}),
    _even("10 leaves, 100 MB", 10, 10_000_000, {BASELINE: 9, "dejaq": 1.2}),
]
