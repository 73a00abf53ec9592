"""The ways in which a view can outlive its loan.

Each way keeps something of a loan's tree, looks at the memory through what it kept, and lets it go.

V1. `look` gives an array over the very memory of the leaf, not a copy: writable where the leaf was.
V2. Between `keep` and `drop` nothing but what `keep` returned holds the memory.
V3. After `drop`, and the death of what `keep` returned, nothing holds it any more.
"""

import ctypes
import functools
import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Full, SimpleQueue
from typing import Any

import numpy as np
import pytest
from helpers import WATCHDOG_S, drain

ROWS, COLUMNS = 4, 6

RECORD = np.dtype([("time", np.uint64), ("place", np.uint64, (3,))])


def make_item(number: int) -> dict[str, np.ndarray]:
    """An item that is `number` in every element of every leaf."""
    item = {
        "frame": np.empty((ROWS, COLUMNS), np.uint64),
        "wave": np.empty(5, np.complex128),
        "record": np.empty(2, RECORD),
        "other": np.empty(3, np.float32),
    }
    fill(item, number)
    return item


def fill(tree: dict[str, np.ndarray], number: int) -> None:
    """Write `number` into every element, of an item or of a batch."""
    for path in ("frame", "wave", "other"):
        tree[path][...] = number
    for field in RECORD.names:
        tree["record"][field][...] = number


def numbers_in(tree: dict[str, np.ndarray]) -> set[complex]:
    """What stands in an item or a batch, every element looked at: one number if it is whole."""
    plain = [tree[path] for path in ("frame", "wave", "other")]
    fields = [tree["record"][field] for field in RECORD.names]
    return {number.item() for leaf in plain + fields for number in np.unique(leaf)}


def get_number(queue: Any) -> complex:
    """The one number that an item is made of."""
    (number,) = numbers_in(queue.get(timeout=WATCHDOG_S))
    return number


def carry(queue: Any, numbers: Iterable[int], meanwhile: Callable[[], Any] = lambda: None) -> None:
    """Put and get items, one after the other; each must come as it went."""
    for number in numbers:
        queue.put(make_item(number), timeout=WATCHDOG_S)
        meanwhile()
        assert get_number(queue) == number


def assert_capacity(queue: Any, free: int | None = None) -> None:
    """As many items as slots are free, and not one more; they come out in order."""
    free = queue.maxsize if free is None else free
    assert queue.stats().free == free
    for number in range(free):
        queue.put_nowait(make_item(number))
    with pytest.raises(Full):
        queue.put_nowait(make_item(99))
    assert [numbers_in(item) for item in drain(queue, 0)] == [{number} for number in range(free)]


@dataclass(frozen=True)
class Escape:
    """A way out: `keep(tree)`, then `look` at what was kept, as often as you like, then `drop`."""

    name: str
    keep: Callable[[Any], Any]
    look: Callable[[Any], np.ndarray]
    drop: Callable[[Any], None] = lambda kept: None
    leaf: str = "frame"
    # A bare address knows no read-only.
    is_address: bool = False

    def numbers(self, kept: Any) -> set[complex]:
        """What stands in the memory now, seen through what was kept."""
        return {number.item() for number in np.unique(self.look(kept))}

    def scribble(self, kept: Any, number: int) -> bool:
        """Write through what was kept; whether that is possible at all."""
        view = self.look(kept)
        if not view.flags.writeable:
            return False
        view[...] = number
        return True


def of_leaf(make: Callable[[np.ndarray], Any], leaf: str = "frame") -> Callable[[Any], Any]:
    return lambda tree: make(tree[leaf])


def itself(kept: Any) -> Any:
    return kept


# Ways out that need more than an expression.


class Subclass(np.ndarray):
    """An array of a user's own kind."""


class Capsule:
    """A DLPack capsule as `__dlpack__` gives it, made an array at the first look."""

    def __init__(self, leaf: np.ndarray) -> None:
        # Without a version a read-only array cannot be exported; an older NumPy knows no versions.
        try:
            self._capsule = leaf.__dlpack__(max_version=(1, 0))
        except TypeError:
            self._capsule = leaf.__dlpack__()
        self._device = leaf.__dlpack_device__()
        self._array: np.ndarray | None = None

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> Any:
        return self._device

    def look(self) -> np.ndarray:
        if self._array is None:
            self._array = np.from_dlpack(self)
        return self._array


class ArrayStruct:
    """An object of NumPy's array protocol for C, with the array's own capsule."""

    def __init__(self, leaf: np.ndarray) -> None:
        self.__array_struct__ = leaf.__array_struct__


def in_a_traceback(leaf: np.ndarray) -> BaseException:
    def fail(frame: np.ndarray) -> None:
        raise ZeroDivisionError

    try:
        fail(leaf)
    except ZeroDivisionError as error:
        return error
    raise AssertionError("unreachable")


def look_into_a_traceback(error: BaseException) -> np.ndarray:
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_locals["frame"]


class InAThread:
    """A thread that has the leaf as a local name, and hands it out when asked."""

    def __init__(self, leaf: np.ndarray) -> None:
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._answers: SimpleQueue[np.ndarray] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._serve, args=(leaf, self._asked, self._answers), daemon=True
        )
        self._thread.start()

    @staticmethod
    def _serve(leaf: np.ndarray, asked: Any, answers: Any) -> None:
        while asked.get():
            answers.put(leaf)

    def look(self) -> np.ndarray:
        self._asked.put(True)
        return self._answers.get(timeout=WATCHDOG_S)

    def end(self) -> None:
        self._asked.put(False)
        self._thread.join(WATCHDOG_S)
        assert not self._thread.is_alive()


def in_a_generator(leaf: np.ndarray) -> Iterator[np.ndarray]:
    def generate(frame: np.ndarray) -> Iterator[np.ndarray]:
        while True:
            yield frame

    generator = generate(leaf)
    # Begun, so that the leaf is a local of a suspended frame.
    next(generator)
    return generator


def in_a_closure(leaf: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: leaf


class Node:
    """A node of a reference cycle."""

    leaf: np.ndarray
    node: "Node"


def in_a_cycle(leaf: np.ndarray) -> "weakref.ref[Node]":
    """A cycle that nobody but the collector can reach, which is off meanwhile."""
    gc.disable()
    node = Node()
    node.leaf, node.node = leaf, node
    return weakref.ref(node)


def look_into_a_cycle(kept: "weakref.ref[Node]") -> np.ndarray:
    node = kept()
    assert node is not None, "the cycle was collected too early"
    return node.leaf


def collect(_: Any) -> None:
    gc.enable()
    gc.collect()


def in_an_object_array(leaf: np.ndarray) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = leaf
    return array


def address_of(leaf: np.ndarray) -> Any:
    return leaf.ctypes.data_as(ctypes.POINTER(ctypes.c_uint64))


def at_address(pointer: Any) -> np.ndarray:
    # A batch is at least as large as this, and what stands behind its first row is not looked at.
    return np.ctypeslib.as_array(pointer, (ROWS, COLUMNS))


ESCAPES = [
    # The leaf under another name.
    Escape("a local name", of_leaf(itself), itself),
    Escape("the whole tree", itself, lambda tree: tree["frame"]),
    Escape("a list", of_leaf(lambda leaf: [leaf]), lambda kept: kept[0]),
    Escape("an object array", of_leaf(in_an_object_array), lambda kept: kept[0]),
    Escape("a closure", of_leaf(in_a_closure), lambda kept: kept()),
    Escape("a generator", of_leaf(in_a_generator), next),
    Escape("a traceback", of_leaf(in_a_traceback), look_into_a_traceback),
    Escape("a thread", of_leaf(InAThread), InAThread.look, InAThread.end),
    Escape("a reference cycle", of_leaf(in_a_cycle), look_into_a_cycle, collect),
    Escape("a bound method", of_leaf(lambda leaf: leaf.sum), lambda kept: kept.__self__),
    Escape(
        "a partial call",
        of_leaf(lambda leaf: functools.partial(np.add, leaf)),
        lambda kept: kept.args[0],
    ),
    # Arrays made of it.
    Escape("a slice", of_leaf(lambda leaf: leaf[1:, ::2]), itself),
    Escape("an empty index", of_leaf(lambda leaf: leaf[()]), itself),
    Escape("a new axis", of_leaf(lambda leaf: leaf[None]), itself),
    Escape("a slice of a slice", of_leaf(lambda leaf: leaf[..., 1:][..., 1:]), itself),
    Escape("reshape", of_leaf(lambda leaf: leaf.reshape(-1)), itself),
    Escape("ravel", of_leaf(np.ravel), itself),
    Escape("the transpose", of_leaf(lambda leaf: leaf.T), itself),
    Escape("another dtype", of_leaf(lambda leaf: leaf.view(np.int64)), itself),
    Escape("asarray", of_leaf(np.asarray), itself),
    Escape("a subclass", of_leaf(lambda leaf: np.asarray(leaf).view(Subclass)), itself),
    Escape("a masked array", of_leaf(lambda leaf: np.ma.array(leaf, copy=False)), np.ma.getdata),
    Escape("a broadcast", of_leaf(lambda leaf: np.broadcast_to(leaf, (2, *leaf.shape))), itself),
    Escape("strides", of_leaf(lambda leaf: np.lib.stride_tricks.as_strided(leaf)), itself),
    Escape("a real part", of_leaf(lambda leaf: leaf.real, "wave"), itself, leaf="wave"),
    Escape("a field", of_leaf(lambda leaf: leaf["place"], "record"), itself, leaf="record"),
    Escape(
        "a record",
        of_leaf(lambda leaf: leaf.reshape(-1)[0], "record"),
        lambda record: record["place"],
        leaf="record",
    ),
    # Buffers of it.
    Escape("a memoryview", of_leaf(memoryview), np.asarray),
    Escape(
        "a memoryview of bytes",
        of_leaf(lambda leaf: memoryview(leaf).cast("B")),
        lambda kept: np.frombuffer(kept, np.uint64),
    ),
    Escape("frombuffer", of_leaf(lambda leaf: np.frombuffer(leaf, np.uint64)), itself),
    Escape(
        "a pickle buffer",
        of_leaf(pickle.PickleBuffer),
        lambda kept: np.frombuffer(kept.raw(), np.uint64),
    ),
    Escape("DLPack", of_leaf(np.from_dlpack), itself),
    Escape("a DLPack capsule", of_leaf(Capsule), Capsule.look),
    Escape("the array protocol", of_leaf(ArrayStruct), np.asarray),
    Escape(
        "ctypes",
        of_leaf(lambda leaf: leaf.ctypes),
        lambda kept: at_address(kept.data_as(ctypes.POINTER(ctypes.c_uint64))),
        is_address=True,
    ),
    Escape("a ctypes pointer", of_leaf(address_of), at_address, is_address=True),
    # Iterators over it.
    Escape("flat", of_leaf(lambda leaf: leaf.flat), lambda kept: kept.base),
    Escape("iter", of_leaf(iter), lambda kept: kept.__reduce__()[1][0]),
    Escape(
        "nditer",
        of_leaf(
            lambda leaf: np.nditer(
                leaf, op_flags=[["readwrite" if leaf.flags.writeable else "readonly"]]
            )
        ),
        lambda kept: kept.operands[0],
    ),
]

every_escape = pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.name)

# Things made of a leaf that share nothing with it.
COPIES: dict[str, Callable[[np.ndarray], Any]] = {
    "copy": lambda leaf: leaf.copy(),
    "array": np.array,
    "arithmetic": lambda leaf: leaf + 1,
    "fancy index": lambda leaf: leaf[[0, 1]],
    "an element": lambda leaf: leaf[(0,) * leaf.ndim],
    "tolist": lambda leaf: leaf.tolist(),
    "bytes": bytes,
    "pickle": lambda leaf: pickle.loads(pickle.dumps(leaf)),
    "pickle 5": lambda leaf: pickle.dumps(leaf, protocol=5),
    "sum": lambda leaf: leaf.sum(),
    "repr": repr,
    "a weak reference": weakref.ref,
}
