"""The items themselves, and how a consumer tells them apart.

W1. An item is never changed after it was made. `multiprocessing.Queue` pickles it after `put` has
    returned, so whoever changed it would measure, and check, something else.
W2. The first element of an item's first leaf is the item's number among the samples, so that a
    consumer can tell in constant time that items come in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cells import ATARI, SMALL, Item

SAMPLES = 3  # Different items, put in turn. Few, because a real producer's item is in its caches.
FRAMES_SHAPE = (84, 84, 4)


def make_samples(item: Item) -> list[Any]:
    return [_make(item, number) for number in range(SAMPLES)]


def key_of(item: Item) -> str | None:
    """The key of the leaf with the item's number; None where the item is that leaf."""
    if item == ATARI:
        return "obs"
    return None if item.leaves == 1 else "leaf_0"


def numbers_of(item: Item) -> list[float]:
    """The numbers of the samples, of the type that their arrays give: mixed ones compare slowly."""
    return [float(number) if item == SMALL else number for number in range(SAMPLES)]


def _make(item: Item, number: int) -> Any:
    if item == SMALL:
        return np.full(8, number, dtype=np.float64)
    if item == ATARI:
        # A transition: four stacked frames, and three scalars as Python's own numbers.
        frames = np.full(FRAMES_SHAPE, number, dtype=np.uint8)
        return {"obs": frames, "action": 3, "reward": 1.0, "done": False}
    leaves = {
        f"leaf_{leaf}": np.full(item.nbytes // item.leaves, number, dtype=np.uint8)
        for leaf in range(item.leaves)
    }
    return leaves["leaf_0"] if item.leaves == 1 else leaves
