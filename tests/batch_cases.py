"""Items that batch tests share, and what a batch of them must be."""

import copy
import dataclasses
from collections import OrderedDict, defaultdict
from typing import Any

import attrs
import ml_dtypes
import numpy as np
from tree_cases import (
    FrozenSensor,
    FrozenState,
    Interval,
    Point,
    Sensor,
    State,
    Transition,
    children_of,
)

from treequeues import register_node


class Span(Interval):
    """A node by registration, which must be done once in a process."""

    def __init__(self, low: Any, high: Any, closed: str = "both") -> None:
        super().__init__(low, high, closed)


register_node(Span, Interval.flatten, lambda closed, children: Span(*children, closed))


def everything(number: int) -> dict[Any, Any]:
    """An item with each kind of container and of leaf, that differs from number to number."""
    return {
        "obs": {"left": np.full((3, 4), number, np.uint8), "right": np.float32(number)},
        "plain": [number, number + 0.5, number % 2 == 0, complex(number, -1), None, (), {}],
        "transition": Transition(np.full(3, float(number)), Point(np.array(number), (number,))),
        "state": State(np.full(2, number), [FrozenState(np.zeros((0, 3)), velocity=float(number))]),
        "sensor": Sensor(np.array(np.datetime64(number, "ns")), FrozenSensor(np.int16(number))),
        "ordered": OrderedDict(z=np.array([str(number), "c"], "U4"), a=OrderedDict()),
        "default": defaultdict(list, {"key": np.array([b"%d" % number], "S4")}),
        "span": Span(np.full(2, number), number),
        "half": np.full(5, number, ml_dtypes.bfloat16),
        "eighth": ml_dtypes.float8_e4m3fn(number),
        3: np.array([(number, number)], [("a", "u1"), ("b", "f8")]),
    }


def stack(items: list[Any]) -> Any:
    """What a batch of these items must be: the tree of the first one, each leaf `numpy.stack`ed."""
    first = items[0]
    if first is None:
        return None
    children = children_of(first)
    if children is None:
        return np.stack([np.asarray(item) for item in items])
    columns = {
        name: stack([dict(children_of(item) or ())[name] for item in items]) for name, _ in children
    }
    return _with_children(first, columns)


def _with_children(tree: Any, children: dict[Any, Any]) -> Any:
    if isinstance(tree, dict):
        # A copy keeps the type, the order and the default factory.
        changed = copy.copy(tree)
        changed.update(children)
        return changed
    if isinstance(tree, Interval):
        return type(tree)(children["low"], children["high"], tree.closed)
    if dataclasses.is_dataclass(tree):
        return dataclasses.replace(tree, **children)
    if attrs.has(type(tree)):
        return attrs.evolve(
            tree, **{field.alias: children[field.name] for field in attrs.fields(type(tree))}
        )
    if hasattr(tree, "_fields"):
        return type(tree)(**children)
    return type(tree)(children.values())


# A small item for the tests in which the kinds of leaves do not matter.


def make_item(number: int) -> dict[str, Any]:
    return {"frame": np.full((3, 5), number, np.uint16), "reward": float(number)}


def make_stacked(numbers: Any) -> dict[str, np.ndarray]:
    """The batch of the items of these numbers."""
    column = np.asarray(list(numbers), float)
    frames = np.broadcast_to(column[:, None, None], (len(column), 3, 5))
    return {"frame": frames.astype(np.uint16), "reward": column}


def number_of(item: dict[str, Any]) -> int:
    """The number of an item, which must be whole."""
    assert (item["frame"] == item["reward"]).all(), f"a torn or mixed item: {item}"
    return int(item["reward"])


def numbers_of(batch: dict[str, Any]) -> list[int]:
    """The numbers of a batch's items, each of which must be whole."""
    frames, rewards = batch["frame"], batch["reward"]
    assert type(frames) is np.ndarray and type(rewards) is np.ndarray
    assert frames.shape == (len(rewards), 3, 5)
    assert frames.dtype == np.uint16 and rewards.dtype == np.float64
    assert (frames == rewards[:, None, None]).all(), f"a torn or mixed batch: {batch}"
    return [int(reward) for reward in rewards]
