"""What a user puts in the place of a loan's leaf is put: `loan.tree["reward"] = 1.5`."""

import dataclasses

import numpy as np
import pytest

from treequeues import ArrayQueue, SchemaError, TreeQueue, register_node

EXAMPLE = {"obs": np.zeros((2, 3), np.uint8), "reward": 0.0, "info": {"lives": np.int32(0)}}


@dataclasses.dataclass
class Frame:
    pixels: np.ndarray
    number: int


class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right


register_node(
    Pair, lambda pair: ((pair.left, pair.right), None), lambda _, children: Pair(*children)
)


def test_values_and_arrays_in_the_place_of_leaves_are_put():
    queue = TreeQueue(EXAMPLE, 2)
    with queue.reserve() as loan:
        loan.tree["obs"] = np.full((2, 3), 7, np.uint8)
        loan.tree["reward"] = 1.5
        loan.tree["info"]["lives"] = 3
    item = queue.get()
    assert (item["obs"] == 7).all()
    assert (item["reward"], item["info"]["lives"]) == (1.5, 3)


def test_leaves_written_in_place_and_replaced_ones_are_put_together():
    queue = TreeQueue(EXAMPLE, 2)
    with queue.reserve() as loan:
        loan.tree["obs"][...] = 9
        loan.tree["info"]["lives"][...] = 4
        loan.tree["reward"] = 2.5
    item = queue.get()
    assert (item["obs"] == 9).all()
    assert (item["reward"], item["info"]["lives"]) == (2.5, 4)


def test_fields_of_a_dataclass_and_of_a_registered_node_may_be_replaced():
    frames = TreeQueue(Frame(np.zeros(2), 0), 2)
    with frames.reserve() as loan:
        loan.tree.pixels = np.ones(2)
        loan.tree.number = 5
    frame = frames.get()
    assert (frame.pixels.tolist(), frame.number) == ([1.0, 1.0], 5)
    pairs = TreeQueue(Pair(np.zeros(2), 0), 2)
    with pairs.reserve() as loan:
        loan.tree.left[...] = 3
        loan.tree.right = 8
    pair = pairs.get()
    assert (pair.left.tolist(), pair.right) == ([3.0, 3.0], 8)


def test_a_leaf_in_the_place_of_another_is_put_as_it_was():
    queue = TreeQueue({"a": np.zeros(4), "b": np.zeros(4)}, 2)
    with queue.reserve() as loan:
        loan.tree["a"][...] = [0, 1, 2, 3]
        loan.tree["b"][...] = [4, 5, 6, 7]
        loan.tree["a"], loan.tree["b"] = loan.tree["b"], loan.tree["a"]
    item = queue.get()
    assert (item["a"].tolist(), item["b"].tolist()) == ([4, 5, 6, 7], [0, 1, 2, 3])


def test_a_derived_view_of_the_slot_in_the_place_of_its_leaf_is_put():
    queue = TreeQueue({"a": np.zeros(4)}, 2)
    with queue.reserve() as loan:
        loan.tree["a"][...] = [0, 1, 2, 3]
        loan.tree["a"] = loan.tree["a"][::-1]
    assert queue.get()["a"].tolist() == [3, 2, 1, 0]


def test_rows_in_the_place_of_a_stacked_leaf_are_put():
    queue = TreeQueue(EXAMPLE, 4)
    with queue.reserve_batch(3) as loan:
        loan.tree["obs"][...] = 1
        loan.tree["info"]["lives"][...] = [1, 2, 3]
        loan.tree["reward"] = np.array([0.5, 1.5, 2.5])
    batch = queue.get_batch(3)
    assert batch["reward"].tolist() == [0.5, 1.5, 2.5]
    assert batch["info"]["lives"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (lambda tree: tree.update(reward="much"), "reward: expected a float"),
        (lambda tree: tree.update(obs=np.zeros((3, 2), np.uint8)), r"obs: expected uint8 \(2, 3\)"),
        (lambda tree: tree.pop("obs"), "missing key 'obs'"),
        (lambda tree: tree.update(more=1), "unexpected key 'more'"),
    ],
)
def test_what_does_not_fit_in_the_place_of_a_leaf_aborts_the_loan(replace, message):
    queue = TreeQueue(EXAMPLE, 2)
    with pytest.raises(SchemaError, match=message), queue.reserve() as loan:
        replace(loan.tree)
    assert (queue.qsize(), queue.stats().free) == (0, 2)
    queue.put(EXAMPLE)
    assert queue.get()["reward"] == 0.0


def test_the_only_leaf_cannot_be_replaced_because_the_tree_has_no_setter():
    queue = ArrayQueue(np.zeros(3), 2)
    with queue.reserve() as loan:
        with pytest.raises(AttributeError):
            loan.tree = np.ones(3)
        loan.tree[...] = 2
    assert queue.get().tolist() == [2.0, 2.0, 2.0]


def test_a_whole_write_overwrites_what_was_replaced_before_it():
    queue = TreeQueue(EXAMPLE, 2)
    with queue.reserve() as loan:
        loan.tree["reward"] = 1.5
        loan.write(
            {"obs": np.ones((2, 3), np.uint8), "reward": 9.0, "info": {"lives": np.int32(2)}}
        )
    assert queue.get()["reward"] == 9.0


class Opaque(Pair):
    """Says that it copies itself, and does not."""

    def __deepcopy__(self, memo):
        return self


register_node(
    Opaque, lambda pair: ((pair.left, pair.right), None), lambda _, children: Opaque(*children)
)


def test_views_of_the_slot_are_copied_whatever_their_container_says_of_copies():
    queue = TreeQueue(Opaque(np.zeros((3, 3)), np.zeros((3, 3))), 2)
    numbers = np.arange(9.0).reshape(3, 3)
    with queue.reserve() as loan:
        loan.tree.left[...] = numbers
        loan.write(Opaque(loan.tree.left.T, loan.tree.left))
    item = queue.get()
    assert (item.left == numbers.T).all()
    assert (item.right == numbers).all()
