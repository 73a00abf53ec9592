"""Trees that tests share: containers of every kind, and how two trees are compared."""

import dataclasses
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any, NamedTuple

import attrs
import numpy as np


class Transition(NamedTuple):
    obs: Any
    action: Any


Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class State:
    position: Any
    velocity: Any


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenState:
    position: Any
    velocity: Any = dataclasses.field(default=None, kw_only=True)


@attrs.define
class Sensor:
    reading: Any
    _offset: Any


@attrs.frozen
class FrozenSensor:
    reading: Any


class Interval:
    """A class that becomes a node by registration alone."""

    def __init__(self, low: Any, high: Any, closed: str) -> None:
        self.low, self.high, self.closed = low, high, closed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interval) and vars(self) == vars(other)

    __hash__ = None

    def flatten(self) -> tuple[tuple[Any, Any], str]:
        return (self.low, self.high), self.closed

    @classmethod
    def unflatten(cls, closed: str, children: Any) -> "Interval":
        low, high = children
        return cls(low, high, closed)


def children_of(tree: Any) -> list[tuple[Any, Any]] | None:
    """The named children of a container in order, or None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.items())
    if hasattr(tree, "_fields"):
        return [(name, getattr(tree, name)) for name in tree._fields]
    if isinstance(tree, list | tuple):
        return list(enumerate(tree))
    if dataclasses.is_dataclass(tree):
        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    if attrs.has(type(tree)):
        return [(field.name, getattr(tree, field.name)) for field in attrs.fields(type(tree))]
    if isinstance(tree, Interval):
        return [("low", tree.low), ("high", tree.high), ("closed", tree.closed)]
    return None


def assert_same_tree(got: Any, expected: Any, path: str = "tree") -> None:
    """Equal in type of container, order of keys, and type, dtype, shape and value of leaves."""
    assert type(got) is type(expected), f"{path}: {type(got)} is not {type(expected)}"
    if isinstance(expected, defaultdict):
        assert got.default_factory is expected.default_factory, path
    children = children_of(expected)
    if children is not None:
        got_children = children_of(got)
        assert [name for name, _ in got_children] == [name for name, _ in children], path
        for (name, child), (_, got_child) in zip(children, got_children, strict=True):
            assert_same_tree(got_child, child, f"{path}[{name!r}]")
    elif isinstance(expected, np.ndarray | np.generic):
        assert got.dtype == expected.dtype, f"{path}: {got.dtype} is not {expected.dtype}"
        assert got.shape == expected.shape, f"{path}: {got.shape} is not {expected.shape}"
        # By bytes, so that -0.0 and NaN count; but a long double has bytes that mean nothing.
        is_long = expected.dtype.char in "gG"
        same = got == expected if is_long else got.tobytes() == expected.tobytes()
        assert np.all(same), f"{path}: {got} is not {expected}"
    else:
        # By repr, so that -0.0 and NaN count.
        assert repr(got) == repr(expected), f"{path}: {got!r} is not {expected!r}"


def one_of_everything() -> dict[Any, Any]:
    """A tree with each kind of container and of leaf, nested in each other."""
    return {
        "obs": {"left": np.arange(12, dtype=np.uint8).reshape(3, 4), "right": np.float32(0.5)},
        "a b": [1, 2.5, True, 1 - 2j, None, (), {}, []],
        "transition": Transition(np.arange(3.0), Point(np.array(7), (False,))),
        "state": State(np.ones(2), [FrozenState(np.zeros((0, 3)), velocity=-0.0)]),
        "sensor": Sensor(np.array("2026-01-01", "M8[ns]"), FrozenSensor(np.int16(-3))),
        "ordered": OrderedDict(z=np.array(["ab", "c"]), a=OrderedDict()),
        "default": defaultdict(list, {"key": np.array([b"xyz"])}),
        3: {None: 1, True: 2, 0.5: 3, b"bytes": 4, ("a", (1, None)): 5, -(2**70): 6},
        "nothing": None,
    }


# What other processes do; they import this module, so it holds their functions.


def pass_on_everything(source: Any, sink: Any, timeout_s: float) -> None:
    """Get an item, see that it is the tree of everything, and put it into another queue."""
    item = source.get(timeout=timeout_s)
    assert_same_tree(item, one_of_everything())
    sink.put(item, timeout=timeout_s)


def get_repr(queue: Any, timeout_s: float) -> str:
    """Get an item and tell what it looks like here."""
    return repr(queue.get(timeout=timeout_s))


def pass_on(source: Any, sink: Any, timeout_s: float) -> None:
    """Get an item, and put it into another queue as it looks here."""
    sink.put(source.get(timeout=timeout_s), timeout=timeout_s)
