"""ArrayQueue: what TreeQueue does, for one array."""

import os
import pickle
from queue import Empty, Full

import numpy as np
import pytest

from treequeues import ArrayQueue, SchemaError, ShutDown, TreeQueue, register_node


def test_arrays_come_out_in_the_order_they_went_in():
    with ArrayQueue(np.zeros((2, 3), np.int16), 4) as queue:
        for number in range(4):
            queue.put(np.full((2, 3), number, np.int16))
        for number in range(4):
            array = queue.get()
            assert (array.dtype, array.shape) == (np.int16, (2, 3))
            assert (array == number).all()


def test_the_constructor_takes_its_arguments_by_name():
    with ArrayQueue(array=np.zeros(2), maxsize=3) as queue:
        assert queue.maxsize == 3


def test_a_full_and_an_empty_queue_say_so():
    with ArrayQueue(np.zeros(2), maxsize=1) as queue:
        with pytest.raises(Empty):
            queue.get_nowait()
        queue.put(np.ones(2))
        with pytest.raises(Full):
            queue.put_nowait(np.ones(2))
        assert queue.full()
        assert queue.qsize() == 1


def test_get_into_out_fills_the_array_and_returns_it():
    with ArrayQueue(np.zeros(3), maxsize=1) as queue:
        queue.put(np.arange(3.0))
        out = np.empty(3)
        assert queue.get(out=out) is out
        assert out.tolist() == [0, 1, 2]


def test_a_misfit_says_what_was_expected_and_what_came():
    with ArrayQueue(np.zeros((84, 84), np.uint8), maxsize=1) as queue:
        with pytest.raises(
            SchemaError, match=r"expected uint8 \(84, 84\), got float32 \(84, 84, 3\)"
        ):
            queue.put(np.zeros((84, 84, 3), np.float32))
        queue.put(np.ones((84, 84), np.uint8))
        assert (queue.get() == 1).all()


@pytest.mark.parametrize("tree", [{"a": np.zeros(2)}, [np.zeros(2)], (np.zeros(2),), None])
def test_only_an_array_can_be_the_example(tree):
    with pytest.raises(TypeError):
        ArrayQueue(tree, maxsize=1)


@pytest.mark.parametrize("scalar", [np.float32(0), np.bool_(True), np.str_("ab"), 0, 0.0, True])
def test_a_scalar_is_no_array_to_any_of_its_calls(scalar):
    name = f"array-queue-{os.getpid()}"
    for make in (
        lambda: ArrayQueue(scalar, maxsize=1),
        lambda: ArrayQueue(scalar, maxsize=1, name=name),
        lambda: ArrayQueue.open(name, scalar, 1),
    ):
        with pytest.raises(TypeError, match="expects an array"):
            make()
    with TreeQueue(scalar, 1, name=name), pytest.raises(SchemaError, match="TreeQueue"):
        ArrayQueue.attach(name)
    with pytest.raises(FileNotFoundError):
        ArrayQueue.attach(name)


def test_what_can_be_created_can_be_attached_to_and_opened():
    name = f"array-queue-{os.getpid()}"
    example = np.array(np.float32(0))
    with ArrayQueue(example, 1, name=name) as queue:
        queue.put(np.float32(0.5))
        with ArrayQueue.attach(name) as attached, ArrayQueue.open(name, example, 1) as opened:
            assert opened.qsize() == 1
            got = attached.get()
    assert type(got) is np.ndarray and (got.shape, got.dtype, got) == ((), np.float32, 0.5)


def test_a_node_with_a_shape_and_a_dtype_is_no_array():
    class Node:
        shape, dtype = (2,), np.dtype("f4")

    register_node(Node, lambda node: ((np.zeros(2),), None), lambda aux, children: Node())
    with pytest.raises(TypeError, match="TreeQueue"):
        ArrayQueue(Node(), maxsize=1)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5, 0, 2), (3, 4, 5)])
def test_arrays_of_any_shape_pass(shape):
    with ArrayQueue(np.zeros(shape, np.float32), maxsize=2) as queue:
        queue.put(np.ones(shape, np.float32))
        array = queue.get()
        assert isinstance(array, np.ndarray)
        assert (array.dtype, array.shape) == (np.float32, shape)
        assert (array == 1).all()


def test_large_arrays_pass_whole(rng):
    shape = (1 << 20,)
    random = np.random.default_rng(rng.randrange(2**32))
    with ArrayQueue(np.zeros(shape, np.uint64), maxsize=2) as queue:
        for _ in range(5):
            array = random.integers(0, 2**63, shape, np.uint64)
            queue.put(array)
            np.testing.assert_array_equal(queue.get(), array)


def test_it_pickles_iterates_and_shuts_down():
    with ArrayQueue(np.zeros(1), maxsize=4) as queue:
        copy = pickle.loads(pickle.dumps(queue))
        assert type(copy) is ArrayQueue
        copy.put(np.ones(1))
        copy.shutdown()
        assert [array.tolist() for array in queue] == [[1.0]]
        with pytest.raises(ShutDown):
            queue.put(np.ones(1))


def test_the_repr_names_class_and_maxsize():
    with ArrayQueue(np.zeros(3, np.uint8), maxsize=7) as queue:
        assert "ArrayQueue" in repr(queue)
        assert "maxsize=7" in repr(queue)


def test_it_can_be_subscripted():
    with ArrayQueue[np.ndarray](np.zeros(1), maxsize=1) as queue:
        assert isinstance(queue, ArrayQueue)
