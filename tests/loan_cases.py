"""Items that loan tests share, and how a loan of one is had."""

from queue import Full
from typing import Any

import numpy as np
import pytest
from helpers import drain


def make_item(number: int) -> dict[str, Any]:
    return {
        "obs": {"left": np.full((4, 5), number, np.uint8), "right": np.full(3, number, "f4")},
        "reward": float(number),
        "step": number,
        "done": bool(number % 2),
    }


def fill(tree: dict[str, Any], number: int) -> None:
    tree["obs"]["left"][...] = number
    tree["obs"]["right"][...] = number
    tree["reward"][...] = number
    tree["step"][...] = number
    tree["done"][...] = number % 2


def number_in(tree: dict[str, Any]) -> int:
    """The number of an item, which must be whole, as it comes from a get or lies in a loan."""
    number = int(tree["step"])
    assert (tree["obs"]["left"] == number).all() and (tree["obs"]["right"] == number).all()
    assert tree["reward"] == number and tree["done"] == number % 2
    return number


def get_numbers(queue: Any) -> list[int]:
    return [number_in(item) for item in drain(queue, 0)]


def assert_capacity(queue: Any) -> None:
    """All slots are there: as many items as slots go in, not one more, and come out in order."""
    for number in range(queue.maxsize):
        queue.put_nowait(make_item(number))
    with pytest.raises(Full):
        queue.put_nowait(make_item(99))
    assert get_numbers(queue) == list(range(queue.maxsize))


def take_one(queue: Any, take: str) -> Any:
    """A loan of a slot that is all 7."""
    if take == "borrow":
        queue.put(make_item(7))
        return queue.borrow()
    loan = queue.reserve()
    fill(loan.tree, 7)
    return loan
