"""out=: what is filled must lie apart, or one leaf would overwrite another without a word."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from helpers import WATCHDOG_S
from numpy.lib.stride_tricks import as_strided

from treequeues import SchemaError, TreeQueue


@dataclass
class Step:
    reward: float
    done: bool


class Pair(NamedTuple):
    left: object
    right: object


def strided(base, shape, strides):
    return as_strided(base, shape, strides)


def refused(example, item, out, *, n=None):
    """The message with which `out` is refused; the item stays, and nothing was written."""
    with TreeQueue(example, 4) as queue:
        for _ in range(n or 1):
            queue.put(item, timeout=WATCHDOG_S)
        with pytest.raises(SchemaError) as caught:
            if n is None:
                queue.get(timeout=WATCHDOG_S, out=out)
            else:
                queue.get_batch(n, timeout=WATCHDOG_S, out=out)
        assert queue.qsize() == (n or 1)
    return str(caught.value)


ZEROS = {"a": np.zeros(3), "b": np.zeros(3)}
ITEM = {"a": np.arange(3.0) + 1, "b": np.arange(3.0) + 4}


def two_places():
    one = np.zeros(3)
    five, table = np.zeros(5), np.zeros((2, 6))
    raw = np.zeros(100, np.uint8)
    return {
        "the same array": (one, one),
        "a view of it": (one, one[:]),
        "the reverse": (one, one[::-1]),
        "an overlap": (five[:3], five[2:]),
        "an overlap of every second": (five[::2], five[1:4]),
        "columns of one table": (table[0, ::2], table[0, :3]),
        "unaligned": (raw[:24].view("f8"), raw[23:47].view("f8")),
    }


@pytest.mark.parametrize("name", two_places())
def test_two_leaves_that_share_memory_are_refused(name):
    one, other = two_places()[name]
    message = refused(ZEROS, ITEM, {"a": one, "b": other})
    assert message.startswith("b: ") and "shares memory with a" in message
    assert (one == 0).all() and (other == 0).all()


def test_an_array_for_leaves_of_other_shapes_and_dtypes_is_found_too():
    memory = np.zeros(64, np.uint8)
    example = {"a": np.zeros((2, 2), "i4"), "b": np.zeros(3, "f8")}
    out = {"a": memory[:16].view("i4").reshape(2, 2), "b": memory[8:32].view("f8")}
    assert "shares memory" in refused(example, example, out)


def test_a_field_of_a_record_shares_memory_with_the_record():
    records = np.zeros(3, [("x", "f8"), ("y", "f8")])
    example = {"a": np.zeros(3, records.dtype), "b": np.zeros(3)}
    assert "shares memory" in refused(example, example, {"a": records, "b": records["y"]})


@pytest.mark.parametrize(
    "array",
    [
        strided(np.zeros(1), (3,), (0,)),
        strided(np.zeros(3), (3,), (4,)),
        strided(np.zeros(3), (3,), (-4,)),
    ],
)
def test_an_array_whose_elements_share_memory_is_refused(array):
    message = refused(ZEROS, ITEM, {"a": array, "b": np.zeros(3)})
    assert message.startswith("a: ") and "np.empty" in message


def test_windows_over_one_array_are_refused():
    windows = strided(np.zeros(4), (3, 2), (8, 8))
    example = np.zeros((3, 2))
    assert "elements" in refused(example, example, windows)
    assert "elements" in refused(np.zeros(2), np.zeros(2), windows, n=3)


def test_batches_are_looked_at_as_single_items_are():
    one = np.zeros((3, 3))
    assert "shares memory" in refused(ZEROS, ITEM, {"a": one, "b": one}, n=3)
    assert "shares memory" in refused(ZEROS, ITEM, {"a": one, "b": one.T}, n=3)
    row = strided(np.zeros(3), (3, 3), (0, 8))
    assert "elements" in refused(ZEROS, ITEM, {"a": row, "b": one}, n=3)


def test_a_container_in_two_places_would_have_the_scalars_of_one():
    shared = [0, 0.0]
    message = refused({"a": [0, 0.0], "b": [0, 0.0]}, {"a": [1, 1.0], "b": [2, 2.0]}, [shared])
    assert "expected a dict" in message
    message = refused(
        {"a": [0, 0.0], "b": [0, 0.0]}, {"a": [1, 1.0], "b": [2, 2.0]}, {"a": shared, "b": shared}
    )
    assert message.startswith("b: ") and "the one that a is" in message and shared == [0, 0.0]
    inner = {"x": 0}
    example = ({"x": 0}, [{"x": 0}], Step(0.0, False))
    assert "[1][0]" in refused(example, example, (inner, [inner], Step(0.0, False)))
    step = Step(0.0, False)
    example = Pair(Step(0.0, False), {"in": Step(0.0, False)})
    assert "right.in" in refused(example, example, Pair(step, {"in": step}))


def filled(example, item, out):
    with TreeQueue(example, 2) as queue:
        queue.put(item, timeout=WATCHDOG_S)
        assert queue.get(timeout=WATCHDOG_S, out=out) is out
    return out


def test_columns_rows_and_fields_of_one_array_lie_apart():
    numbers = range(30)
    example = {f"leaf {i}": np.zeros(7) for i in numbers}
    item = {f"leaf {i}": np.arange(7.0) * 100 + i for i in numbers}
    expected = np.array([item[f"leaf {i}"] for i in numbers])
    columns, rows = np.zeros((7, 30)), np.zeros((30, 7))
    records = np.zeros(7, [(f"x{i}", "f8") for i in numbers])
    filled(example, item, {f"leaf {i}": columns[:, i] for i in numbers})
    filled(example, item, {f"leaf {i}": rows[i] for i in reversed(numbers)})
    filled(example, item, {f"leaf {i}": records[f"x{i}"] for i in numbers})
    assert (expected == columns.T).all() and (rows == expected).all()
    assert (np.array([records[f"x{i}"] for i in numbers]) == expected).all()


@pytest.mark.parametrize(
    "split",
    [
        lambda table: (table[:, :3], table[:, 3:]),
        lambda table: (table[:, ::2], table[:, 1::2]),
        lambda table: (table[::-1, :3], table[::-1, 5:2:-1]),
        lambda table: (table[:, :3], table.T[3:].T),
        lambda table: (table.reshape(4, 3, 2)[..., 0], table.reshape(4, 3, 2)[..., 1]),
    ],
)
def test_parts_of_a_table_lie_apart_however_they_are_cut(split):
    table = np.zeros((4, 6))
    left, right = split(table)
    example = {"a": np.zeros((4, 3)), "b": np.zeros((4, 3))}
    item = {"a": np.full((4, 3), 1.0), "b": np.full((4, 3), 2.0)}
    filled(example, item, {"a": left, "b": right})
    assert (left == 1).all() and (right == 2).all() and (table > 0).all()


def test_arrays_of_one_memory_without_elements_lie_apart():
    nothing = np.zeros((0, 3))
    example = {"a": nothing.copy(), "b": nothing.copy(), "c": np.zeros(1)}
    filled(example, example, {"a": nothing, "b": nothing, "c": np.zeros(1)})


def test_a_container_without_leaves_may_stand_in_two_places():
    nothing = []
    example = {"a": [], "b": [], "c": 0}
    assert (
        filled(example, {"a": [], "b": [], "c": 5}, {"a": nothing, "b": nothing, "c": 0})["c"] == 5
    )


def test_random_views_are_refused_if_and_only_if_they_share_an_element(rng):
    def random_view(base):
        slices = tuple(
            slice(
                start := rng.randrange(length),
                rng.randrange(start, length) + 1,
                rng.choice([1, 1, 2, 3]),
            )
            for length in base.shape
        )
        view = base[(*slices, ...)]
        view = view[tuple(slice(None, None, rng.choice([1, -1])) for _ in view.shape)]
        return view.transpose(rng.sample(range(view.ndim), view.ndim))

    for _, shape in itertools.product(range(60), [(12,), (4, 6), (3, 4, 5)]):
        base = np.zeros(shape, rng.choice(["u1", "f4", "f8"]))
        views = [random_view(base) for _ in range(rng.choice([2, 3]))]
        example = [np.zeros(view.shape, base.dtype) for view in views]
        item = [np.full(view.shape, i + 1, base.dtype) for i, view in enumerate(views)]
        shares = any(np.shares_memory(*pair) for pair in itertools.combinations(views, 2))
        if shares:
            assert "shares memory" in refused(example, item, views)
        else:
            filled(example, item, views)
            for view, value in zip(views, item, strict=True):
                assert (view == value).all()
